// Starts aimock through its own API, with an answer of CHUNKS frames: node peer_aimock.mjs PACKAGES CHUNKS GAP_MS
import { createRequire } from "node:module";

const [packages, chunks, gapMs] = process.argv.slice(2);
const { LLMock } = createRequire(`${packages}/`)("@copilotkit/aimock");
const pieces = Array.from({ length: Number(chunks) - 2 }, (_, i) => `p${String(i).padStart(7, "0")} `);
const options = { chunkSize: 9 };
if (Number(gapMs) > 0) options.streamingProfile = { ttft: Number(gapMs), tps: 1000 / Number(gapMs) };
const mock = new LLMock({ host: "127.0.0.1", port: 0, logLevel: "silent", journalMaxEntries: 1000, chunkSize: 9 });
mock.onMessage(/.*/, { content: pieces.join("") }, options);
await mock.start();
console.log(`listening on ${mock.port}`);
