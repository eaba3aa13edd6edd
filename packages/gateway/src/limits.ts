/** Every bound of this package that the configuration does not set. Defaults of configured bounds are in `config/`. */
export const limits = {
  /** Largest configuration or accounts file, bytes. A larger one is a mistake in the path. */
  maxConfigFileBytes: 4_194_304,

  /** Longest password, bytes of UTF-8. Room for passphrases and tokens; hashing time does not depend on it. Longer: denied. */
  maxPasswordBytes: 1024,

  /** Longest account name, bytes of UTF-8: a mailbox of RFC 5321 section 4.5.3.1 is at most 64 + 1 + 255. Longer: denied. */
  maxAccountNameBytes: 320,

  /** Shortest password that `postern user` takes, characters (NIST SP 800-63B section 3.1.1.2 for a single factor is 15; with a second bound by rate 8). */
  minPasswordCharacters: 8,
} as const
