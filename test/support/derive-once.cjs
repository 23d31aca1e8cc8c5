// Loaded before the built command (`node --require`) where a test starts it many times: has scrypt derive each key
// once for all of them, by node:crypto as ever, and keeps it in the directory DERIVED. Opening a key takes a quarter of
// a second on purpose, and these tests are about other things.
const crypto = require('node:crypto');
const { mkdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const directory = process.env['DERIVED'];
const { scrypt } = crypto;
mkdirSync(directory, { recursive: true, mode: 0o700 });
crypto.scrypt = (password, salt, length, options, done) => {
  const hash = crypto.createHash('sha256');
  for (const part of [password, salt]) hash.update(`${part.byteLength} `).update(part);
  const path = join(directory, hash.update(`${length} ${JSON.stringify(options)}`).digest('hex'));
  let known;
  try {
    known = readFileSync(path);
  } catch {
    scrypt(password, salt, length, options, (error, key) => {
      if (error === null) {
        writeFileSync(`${path}.${process.pid}`, key, { mode: 0o600 });
        renameSync(`${path}.${process.pid}`, path);
      }
      done(error, key);
    });
    return;
  }
  setImmediate(done, null, known);
};
