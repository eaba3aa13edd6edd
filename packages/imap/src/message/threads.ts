/*
 * Messages gathered into threads (RFC 5256 section 3). The algorithms are those of the standard, step by step; the numbers
 * in comments are its steps. A hostile mailbox costs no more than its size: the references that are followed, the messages
 * that exist by reference only, the depth of a thread, and what is spent on looking for loops are bounded, and nothing
 * recurses. All of it is done in pieces (`work.ts`).
 */
import { forEach, sorted, type Work } from './work.ts'

/** What threading needs to know of a message. */
export interface ThreadedMessage {
  /** As it is told: a sequence number or a UID. */
  readonly number: number
  /** In milliseconds. */
  readonly sentMs: number
  /** Base subject, ready to be compared. */
  readonly subject: string
  readonly isReply: boolean
  readonly messageId?: string
  /** From the oldest to the nearest. */
  readonly references: readonly string[]
}

export interface ThreadBounds {
  readonly maxThreadDepth: number
  readonly maxReferencedMessages: number
  readonly maxThreadSteps: number
}

/** A message with its answers, or a place that only holds them together. */
export interface Thread {
  readonly message: ThreadedMessage | undefined
  readonly children: readonly Thread[]
}

/** ORDEREDSUBJECT: one thread for each subject, its first message above all others; messages ascend by number. */
export function* threadBySubject(messages: readonly ThreadedMessage[]): Work<readonly Thread[]> {
  const bySubject = new Map<string, ThreadedMessage[]>()
  yield* forEach(messages, (message) => {
    const group = bySubject.get(message.subject)
    if (group === undefined) bySubject.set(message.subject, [message])
    else group.push(message)
  })
  const threads: { readonly message: ThreadedMessage; readonly children: readonly Thread[] }[] = []
  for (const group of bySubject.values()) {
    const [message, ...others] = yield* sorted(group, bySentDate)
    if (message === undefined) continue
    threads.push({ message, children: others.map((other) => ({ message: other, children: [] })) })
    yield group.length
  }
  return yield* sorted(threads, (one, other) => bySentDate(one.message, other.message))
}

function bySentDate(one: ThreadedMessage, other: ThreadedMessage): number {
  return one.sentMs - other.sentMs || one.number - other.number
}

/** A message, or one that is only known by reference: a dummy. */
class Container implements Thread {
  message: ThreadedMessage | undefined
  parent: Container | undefined
  /** While links still change; then `children`. */
  readonly linked = new Set<Container>()
  children: Container[] = []

  constructor(message?: ThreadedMessage) {
    this.message = message
  }

  /** The message that a dummy is ordered and named by: that of its first child (step 4). */
  get representative(): ThreadedMessage | undefined {
    return this.message ?? this.children[0]?.message
  }
}

/** REFERENCES: by who answers whom, and then by subject. */
export function* threadByReferences(
  messages: readonly ThreadedMessage[],
  bounds: ThreadBounds,
): Work<readonly Thread[]> {
  const containers = yield* link(messages, bounds)
  // (2)
  let roots = containers.filter(({ parent }) => parent === undefined)
  yield containers.length
  roots = yield* prune(roots)
  // (4)
  for (const root of roots) if (root.message === undefined) yield* sortChildren(root)
  roots = yield* sorted(roots, bySentDateOfThread)
  roots = yield* gatherSubjects(roots)
  // (6)
  const waiting = [...roots]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    yield* sortChildren(next)
    for (const child of next.children) waiting.push(child)
    yield next.children.length + 1
  }
  return yield* sorted(roots, bySentDateOfThread)
}

/** (1): a forest of everything that is there or is named. */
function* link(messages: readonly ThreadedMessage[], bounds: ThreadBounds): Work<Container[]> {
  const byId = new Map<string, Container>()
  const all: Container[] = []
  let strangers = 0
  const left = { steps: bounds.maxThreadSteps }
  /** The containers of messages; the ids that stand twice, or nowhere, name nobody. */
  const own: Container[] = []
  yield* forEach(messages, (message) => {
    const container = new Container(message)
    all.push(container)
    own.push(container)
    if (message.messageId !== undefined && !byId.has(message.messageId)) byId.set(message.messageId, container)
  })
  for (const container of own) {
    let before = left.steps
    // (A)
    let nearest: Container | undefined
    for (const id of container.message?.references ?? []) {
      let named = byId.get(id)
      if (named === undefined) {
        if (strangers >= bounds.maxReferencedMessages) continue
        strangers += 1
        named = new Container()
        byId.set(id, named)
        all.push(named)
      }
      if (nearest !== undefined && named.parent === undefined) adopt(nearest, named, bounds, left)
      nearest = named
      yield 1 + before - left.steps
      before = left.steps
    }
    // (B)
    const { parent } = container
    if (parent !== undefined) {
      parent.linked.delete(container)
      container.parent = undefined
    }
    if (nearest !== undefined) adopt(nearest, container, bounds, left)
    yield 1 + before - left.steps
  }
  yield* forEach(all, (container) => {
    container.children = [...container.linked]
  })
  return all
}

/**
 * Makes `child` a child of `parent`, unless that would close a loop or go too deep.
 *
 * @param left - levels that may still be climbed to find that out, for all messages together: references that close loops
 *   are refused again and again, and each refusal costs the depth of a thread.
 */
function adopt(parent: Container, child: Container, bounds: ThreadBounds, left: { steps: number }): void {
  let depth = 0
  for (let above: Container | undefined = parent; above !== undefined; above = above.parent) {
    depth += 1
    left.steps -= 1
    if (above === child || depth > bounds.maxThreadDepth || left.steps < 0) return
  }
  child.parent = parent
  parent.linked.add(child)
}

/** (3): dummies without children go; others leave their place to their children, except at the root with several. */
function* prune(roots: readonly Container[]): Work<Container[]> {
  const order: Container[] = []
  const waiting = [...roots]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    order.push(next)
    for (const child of next.children) waiting.push(child)
    yield 1
  }
  // From the leaves up: what is below is pruned already.
  for (let container = order.pop(); container !== undefined; container = order.pop()) {
    yield container.children.length + 1
    if (container.children.some(isDummy)) {
      container.children = container.children.flatMap((child) => (isDummy(child) ? child.children : [child]))
      for (const child of container.children) child.parent = container
    }
  }
  const pruned: Container[] = []
  yield* forEach(roots, (root) => {
    if (!isDummy(root) || root.children.length > 1) {
      pruned.push(root)
      return
    }
    for (const child of root.children) {
      child.parent = undefined
      pruned.push(child)
    }
  })
  return pruned
}

function isDummy({ message }: Container): boolean {
  return message === undefined
}

function* sortChildren(container: Container): Work<void> {
  if (container.children.length > 1) container.children = yield* sorted(container.children, bySentDateOfThread)
}

function bySentDateOfThread({ representative: one }: Container, { representative: other }: Container): number {
  return one === undefined || other === undefined ? 0 : bySentDate(one, other)
}

/** (5): threads whose first messages have one subject become one thread. */
function* gatherSubjects(roots: readonly Container[]): Work<Container[]> {
  const table = new Map<string, Container>()
  // (B)
  yield* forEach(roots, (root) => {
    const subject = root.representative?.subject ?? ''
    if (subject === '') return
    const known = table.get(subject)
    if (known === undefined || (!isDummy(known) && (isDummy(root) || (isReply(known) && !isReply(root))))) {
      table.set(subject, root)
    }
  })
  // (C)
  const kept = new Set(roots)
  yield* forEach(roots, (root) => {
    const subject = root.representative?.subject ?? ''
    const first = table.get(subject)
    if (subject === '' || first === undefined || first === root) return
    kept.delete(root)
    if (isDummy(first) && isDummy(root)) {
      for (const child of root.children) first.children.push(child)
    } else if (isDummy(first) || (isReply(root) && !isReply(first))) {
      first.children.push(root)
    } else {
      const above = new Container()
      above.children = [first, root]
      table.set(subject, above)
      kept.delete(first)
      kept.add(above)
    }
  })
  return [...kept]
}

function isReply({ message }: Container): boolean {
  return message?.isReply === true
}

/** `thread-list` of RFC 5256 section 5: an only child follows its parent, several stand in parentheses of their own. */
export function* encodeThreads(threads: readonly Thread[]): Work<string> {
  const texts: string[] = []
  for (const thread of threads) texts.push(`(${yield* encodeMembers(thread)})`)
  return texts.join('')
}

function* encodeMembers(thread: Thread): Work<string> {
  let text = ''
  /** What is still to be written, the last first. */
  const waiting: (Thread | string)[] = [thread]
  let needsSpace = false
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    yield 1
    if (typeof next === 'string') {
      text += next
      needsSpace = false
      continue
    }
    if (next.message !== undefined) {
      text += `${needsSpace ? ' ' : ''}${next.message.number}`
      needsSpace = true
    }
    const [only] = next.children
    if (next.children.length === 1 && only !== undefined) {
      waiting.push(only)
      continue
    }
    if (next.children.length > 1 && needsSpace) text += ' '
    for (const child of next.children.toReversed()) waiting.push(')', child, '(')
    if (next.children.length > 1) needsSpace = false
  }
  return text
}
