export { measureTogether, type Case, type Figure, type MeasureOptions } from './micro/measure.ts'
export { setting, type Setting } from './report.ts'
export { percentile, spread, type Spread } from './spread.ts'
