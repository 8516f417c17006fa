// Prints the Khronos glTF validator's reports on the files named as arguments, one JSON object a line.
const fs = require("fs");
const validator = require(require("path").join(__dirname, "../.tools/node_modules/gltf-validator"));

(async () => {
  for (const file of process.argv.slice(2)) {
    const report = await validator.validateBytes(new Uint8Array(fs.readFileSync(file)), { uri: file });
    console.log(JSON.stringify(report));
  }
})();
