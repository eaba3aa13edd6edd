export { measureTogether, type Case, type Figure, type MeasureOptions, type Spread } from './micro/measure.ts'
export { setting, type Setting } from './report.ts'
