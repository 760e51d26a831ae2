"use strict";
// Calls a function of the npm package as a program of its user's would: node drive.cjs FUNCTION OPTIONS
// Prints {"result": …} or {"rejected": …}. The package is found by NODE_PATH.
const client = require("remove.bg");

const [name, options] = process.argv.slice(2);
client[name](JSON.parse(options)).then(
  (result) => console.log(JSON.stringify({ result })),
  (rejected) => console.log(JSON.stringify({ rejected })),
);
