"use strict";

const { readFile } = require("node:fs/promises");
const http = require("node:http");
const path = require("node:path");
const { WebSocketServer } = require("ws");

const RELEASE = process.env.HOMEPORT_RELEASE || "no release";
const LONGEST = 500;
const PING_MS = 20_000;

const server = http.createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://chat");
  if (pathname === "/healthz") {
    response.end("ok\n");
  } else if (pathname === "/") {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(await readFile(path.join(__dirname, "public/index.html")));
  } else {
    response.writeHead(404).end("Not found\n");
  }
});

const room = new WebSocketServer({ server, path: "/room", maxPayload: 4096 });

function tell(message) {
  const text = JSON.stringify(message);
  for (const client of room.clients) {
    if (client.readyState === client.OPEN) client.send(text);
  }
}

room.on("connection", (client) => {
  client.alive = true;
  client.on("pong", () => (client.alive = true));
  client.on("error", (error) => console.error(`a client: ${error.message}`));
  client.on("message", (data) => tell({ text: data.toString().slice(0, LONGEST), release: RELEASE }));
  client.on("close", () => tell({ people: room.clients.size, release: RELEASE }));
  tell({ people: room.clients.size, release: RELEASE });
});

// A connection that went without a word is found out; one that is only quiet isn't cut by anything in between.
setInterval(() => {
  for (const client of room.clients) {
    if (!client.alive) client.terminate();
    client.alive = false;
    client.ping();
  }
}, PING_MS).unref();

// After the drain: whoever is still here is told to come back, and meets the new release.
process.on("SIGTERM", () => {
  console.log("closing the room");
  for (const client of room.clients) client.close(1001, "a new release is here");
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});

server.listen(process.env.PORT || 3000, "0.0.0.0", () => console.log(`the room of ${RELEASE} is open`));
