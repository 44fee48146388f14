// A user at a web page: JsSIP as a browser runs it, over the WebSocket of the `ws` package.
// Commands come as lines of JSON on standard input, what happens goes out as lines of JSON.
//
//   node peer.js NODE_MODULES URL USER     (password = name, domain = example.com)
'use strict';

const [modules, url, user] = process.argv.slice(2);
const WebSocket = require(`${modules}/ws`);
globalThis.WebSocket = WebSocket;
globalThis.window = globalThis;
const JsSIP = require(`${modules}/jssip`);

const tell = (what, more = {}) => console.log(JSON.stringify({ what, ...more }));
const at = (name) => `sip:${name}@example.com`;

const ua = new JsSIP.UA({
  sockets: [new JsSIP.WebSocketInterface(url)],
  uri: at(user),
  password: user,
  register_expires: 120,
});

ua.on('connected', () => tell('connected'));
ua.on('disconnected', (event) => tell('disconnected', { code: event && event.code }));
ua.on('registered', (event) => tell('registered', {
  contact: event.response.getHeader('Contact'),
  require: event.response.getHeader('Require'),
}));
ua.on('registrationFailed', (event) => tell('failed', { of: 'REGISTER', cause: event.cause }));
ua.on('newMessage', (event) => {
  if (event.originator !== 'remote') return;
  tell('message', { from: event.request.from.uri.user, text: event.request.body });
});

const commands = {
  message({ to, text }) {
    ua.sendMessage(at(to), text, {
      eventHandlers: {
        succeeded: (event) => tell('sent', { status: event.response.status_code }),
        failed: (event) => tell('failed', { of: 'MESSAGE', cause: event.cause }),
      },
    });
  },
  watch({ to }) {
    const watcher = ua.subscribe(at(to), 'presence', 'application/pidf+xml', { expires: 600 });
    watcher.on('accepted', () => tell('watching', { to }));
    watcher.on('notify', (final, request, body) => tell('state', { of: to, body }));
    watcher.on('terminated', (code, reason) => tell('unwatched', { to, code, reason }));
    watcher.subscribe();
  },
  quit() {
    ua.stop();
    ua.once('disconnected', () => process.exit(0));
  },
};

require('readline').createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line);
    commands[command.do](command);
  })
  .on('close', () => process.exit(0));
ua.start();
