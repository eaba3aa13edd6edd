/** Of this package, for the answer to ID. */
export const version = '0.1.0'
