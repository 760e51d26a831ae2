"use strict";
// Leads what a client sends to https://api.remove.bg to CLIENTS_BASE_URL: node --require redirect.cjs …
// Nothing else of the client, or of its HTTP library, is touched.
const http = require("http");
const https = require("https");

const PUBLISHED = "api.remove.bg";
const target = new URL(process.env.CLIENTS_BASE_URL);
const request = https.request;

https.request = function (options, ...rest) {
  const host = options && (options.hostname || options.host);
  if (host !== PUBLISHED) {
    return request.call(https, options, ...rest);
  }
  const { hostname, port } = target;
  // Their agents are of TLS; the port is that of https.
  return http.request(
    { ...options, protocol: "http:", host: hostname, hostname, port, agent: undefined },
    ...rest,
  );
};
