import { endpoint, identify, type ClientIdentity, type ListenerInfo, type Policy } from '@postern/core'
import { describe, expect, test } from 'vitest'
import type { PolicyConfig } from '../../src/config/schema.ts'
import { askOnConnect, policiesFor } from '../../src/policy/chain.ts'
import { noPolicy, partsWith } from '../kit/policy-parts.ts'

const listener: ListenerInfo = { name: 'mx', protocol: 'smtp', tls: 'off' }
const clientAt = (address: string): ClientIdentity =>
  identify({ peer: endpoint(address, 40_000), local: endpoint('192.0.2.1', 25), verdict: { rule: 'absent' } })
const at = { listener, identity: clientAt('203.0.113.7') }

const sessionOf = (account: string, address: string) => ({
  connection: { id: 'c', listener, identity: clientAt(address), security: { kind: 'cleartext' } } as const,
  principal: { account, username: account },
})

/** A policy that notes what happens to it. */
const noting = (notes: string[], name: string, verdict: 'pass' | 'refuse' | 'throw'): Policy => ({
  name,
  onConnect: () => {
    notes.push(`${name} asked`)
    if (verdict === 'throw') throw new Error('a bug')
    return verdict === 'pass' ? { verdict } : { verdict, reason: 'listed' }
  },
  onClose: () => {
    notes.push(`${name} closed`)
  },
})

describe('a chain of policies', () => {
  test('the first that does not pass decides; only those that passed are told of the close, once', async () => {
    const notes: string[] = []
    const policies = [noting(notes, 'a', 'pass'), noting(notes, 'b', 'refuse'), noting(notes, 'c', 'pass')]
    const admission = await askOnConnect(policies, at)
    expect(admission).toMatchObject({ decision: { verdict: 'refuse', reason: 'listed' }, policy: 'b' })
    admission.release()
    admission.release()
    expect(notes).toEqual(['a asked', 'b asked', 'a closed'])
  })

  test('a policy that throws gives back what the ones before it counted', async () => {
    const notes: string[] = []
    const policies = [noting(notes, 'a', 'pass'), noting(notes, 'b', 'throw')]
    await expect(askOnConnect(policies, at)).rejects.toThrow('a bug')
    expect(notes).toEqual(['a asked', 'b asked', 'a closed'])
  })

  test('a policy without a word at this moment is passed', async () => {
    expect(await askOnConnect([{ name: 'later' }], at)).toMatchObject({ decision: { verdict: 'pass' } })
  })
})

describe('the policies of a configuration', () => {
  test('none are made of a configuration that asks for none', () => {
    expect(policiesFor(noPolicy, partsWith(noPolicy))).toEqual([])
  })

  test('exempt networks meet no rate', async () => {
    const limited: PolicyConfig = {
      ...noPolicy,
      exemptNetworks: ['198.51.100.0/24'],
      rate: { ...noPolicy.rate, connectionsPerClient: { count: 1, perMs: 60_000 } },
    }
    const policies = policiesFor(limited, partsWith(limited))
    const verdictOf = async (address: string): Promise<string> =>
      (await askOnConnect(policies, { listener, identity: clientAt(address) })).decision.verdict
    expect([await verdictOf('203.0.113.7'), await verdictOf('203.0.113.7')]).toEqual(['pass', 'defer'])
    expect([await verdictOf('198.51.100.7'), await verdictOf('198.51.100.7')]).toEqual(['pass', 'pass'])
  })

  test('S17: the refusal is temporary and says in the log which bound was met', async () => {
    const limited: PolicyConfig = {
      ...noPolicy,
      rate: { ...noPolicy.rate, connectionsPerClient: { count: 1, perMs: 60_000 } },
    }
    const policies = policiesFor(limited, partsWith(limited))
    await askOnConnect(policies, at)
    expect((await askOnConnect(policies, at)).decision).toEqual({
      verdict: 'defer',
      reason: 'rate',
      detail: '203.0.113.7 connected more than 1 times in 60 s (policy.rate.connections-per-client)',
    })
  })

  test('IM-21: sessions of a user are counted apart from clients, and the refusal says which bound was met', async () => {
    const limited: PolicyConfig = {
      ...noPolicy,
      exemptNetworks: ['198.51.100.0/24'],
      concurrency: { ...noPolicy.concurrency, sessionsPerUser: 2 },
    }
    const [policy, ...others] = policiesFor(limited, partsWith(limited))
    expect(others).toEqual([])
    const ann = sessionOf('ann', '203.0.113.7')
    expect(await policy?.onSession?.(ann)).toEqual({ verdict: 'pass' })
    // A backend that judges takes the name as the client wrote it.
    const again = sessionOf('ANN', '203.0.113.8')
    expect(await policy?.onSession?.(again)).toEqual({ verdict: 'pass' })
    expect(await policy?.onSession?.(ann)).toEqual({
      verdict: 'defer',
      reason: 'concurrency',
      detail: 'ann has 2 IMAP sessions open (policy.concurrency.sessions-per-user)',
    })
    expect(await policy?.onSession?.(sessionOf('bob', '203.0.113.7'))).toEqual({ verdict: 'pass' })
    // A webmail that speaks for all of them is not counted, and gives nothing back.
    const webmail = sessionOf('ann', '198.51.100.7')
    expect(await policy?.onSession?.(webmail)).toEqual({ verdict: 'pass' })
    policy?.onSessionEnd?.(webmail)
    expect(await policy?.onSession?.(ann)).toMatchObject({ verdict: 'defer' })
    policy?.onSessionEnd?.(again)
    expect(await policy?.onSession?.(ann)).toEqual({ verdict: 'pass' })
  })
})
