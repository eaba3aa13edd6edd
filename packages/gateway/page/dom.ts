/*
 * The few ways in which this page changes itself. Everything that comes from the gateway, and with it everything that a
 * stranger wrote, becomes a text node: there is no HTML of anybody's but ours. The page's policy (`require-trusted-types-for`)
 * would refuse it too.
 */

export interface Cell {
  readonly text: string
  /** Of the style sheet: `number`, `name`, `good`, `bad` … */
  readonly kind?: string
  /** Shown when pointed at. */
  readonly hint?: string
}

export function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id)
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} ${id}`)
  return found
}

export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/**
 * Fills the body of a table. Rows and cells that are there are written over and only where they differ, so that a reader's
 * selection and a screen reader's place stay where they are.
 */
export function fillTable(table: HTMLTableElement, rows: readonly (readonly Cell[])[]): void {
  const body = table.tBodies[0] ?? table.createTBody()
  for (const [index, cells] of rows.entries()) {
    const row = body.rows[index] ?? body.insertRow()
    for (const [place, { text, kind = '', hint = '' }] of cells.entries()) {
      const cell = row.cells[place] ?? row.insertCell()
      setText(cell, text)
      if (cell.className !== kind) cell.className = kind
      if (cell.title !== hint) cell.title = hint
    }
  }
  while (body.rows.length > rows.length) body.deleteRow(-1)
}

export function textCell(text: string | undefined, kind?: string): Cell {
  return { text: text ?? '', ...(kind === undefined ? {} : { kind }) }
}

/** A count of nothing is quiet, so that the eye finds the others. */
export function numberCell(value: number | undefined, format: (value: number) => string, kind = ''): Cell {
  if (value === undefined) return { text: '', kind: 'number' }
  return { text: format(value), kind: value === 0 ? 'number zero' : `number ${kind}`.trim() }
}
