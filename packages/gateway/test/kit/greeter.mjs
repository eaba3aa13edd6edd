// Serves the socket that it inherited as its first descriptor after the standard ones and the channel.
import { createServer } from 'node:net'

createServer((socket) => socket.end(process.argv[2])).listen({ fd: 4 }, () => process.send('ready'))
