# syntax=docker/dockerfile:1

# ── build: all tools, all sources ──────────────────────────────────────────
FROM node:26.10.0-bookworm-slim AS build
WORKDIR /src
# What is installed depends on these alone, so that a change of the sources installs nothing anew.
COPY package.json pnpm-lock.yaml pnpm-workspace.yaml ./
COPY scripts/bootstrap.mjs scripts/
COPY packages/core/package.json packages/core/
COPY packages/smtp/package.json packages/smtp/
COPY packages/imap/package.json packages/imap/
COPY packages/maildir/package.json packages/maildir/
COPY packages/gateway/package.json packages/gateway/
COPY packages/bench/package.json packages/bench/
COPY tools/docs/package.json tools/docs/
RUN node scripts/bootstrap.mjs
COPY tsconfig.json tsconfig.base.json ./
COPY packages packages
RUN node_modules/.bin/tsc -b packages/gateway packages/gateway/page
# The gateway with its packages and libraries, and nothing that only builds or tests.
RUN node_modules/.bin/pnpm --filter @postern/gateway --prod deploy /out

# ── run: Node, the gateway, nobody's rights ────────────────────────────────
FROM node:26.10.0-bookworm-slim
ENV NODE_ENV=production
COPY --from=build /out /opt/postern
RUN ln -s /opt/postern/bin/postern.mjs /usr/local/bin/postern \
  && install -d -m 0700 -o node -g node /var/lib/postern
USER node
WORKDIR /var/lib/postern
VOLUME /var/lib/postern
# Above 1024, so that no capability is needed: SMTP, submission, submissions, IMAP, IMAPS; health and status.
EXPOSE 2525 2587 2465 2143 2993 2080
# The admin endpoint takes no PROXY header, so this works whatever the listeners ask for.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:2080/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "--enable-source-maps", "--disable-sigusr1", "/opt/postern/dist/main.js"]
CMD ["serve", "-c", "/etc/postern/postern.toml"]
