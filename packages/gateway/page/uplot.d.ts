/* The library as the gateway serves it, beside this page's own files: `uplot.js` is its `uPlot.esm.js`. */
// oxlint-disable-next-line import/no-default-export -- it is the library's export
export { default } from 'uplot'
