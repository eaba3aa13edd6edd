/* A processor that has other things to do, until it is killed: `busy.ts`. */
process.stdout.write('busy\n', () => {
  for (;;);
})
