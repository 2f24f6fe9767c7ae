// The official Anthropic client for Node.
import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { CITY, PIXEL, pair, places, says } from "./pair.mjs";

const at = (place, key) => new Anthropic({ baseURL: place.anthropic, apiKey: key ?? place.key, maxRetries: 0, timeout: 20_000 });
const tools = [{ name: "weather", input_schema: CITY }];
const user = (content) => [{ role: "user", content }];
const options = { model: "claude-opus-4-8", max_tokens: 200 };

for (const place of places) {
  test(`${place.name}: text, stream, tools, picture, thinking`, async () => {
    const api = at(place);
    const reply = await api.messages.create({ ...options, messages: user(says("Hi", { text: "Grüße", in: 41, out: 7 })) });
    assert.equal(reply.content[0].text, "Grüße");
    assert.deepEqual([reply.usage.input_tokens, reply.usage.output_tokens], [41, 7]);

    const stream = api.messages.stream({ ...options, messages: user(says("Hi", { text: "one two three", chunks: 3 })) });
    let text = "";
    stream.on("text", (piece) => { text += piece; });
    const final = await stream.finalMessage();
    assert.equal(text, "one two three");
    assert.equal(final.stop_reason, "end_turn");

    const asked = user(says("Weather?", { tool: "weather", args: '{"city":"Oslo"}' }));
    const message = await api.messages.stream({ ...options, messages: asked, tools }).finalMessage();
    const call = message.content.find((block) => block.type === "tool_use");
    assert.deepEqual(call.input, { city: "Oslo" });
    const second = await api.messages.create({
      ...options, tools,
      messages: [...asked, { role: "assistant", content: message.content },
        ...user([{ type: "tool_result", tool_use_id: call.id, content: "4 degrees" }, { type: "text", text: says("And?", { text: "Cold" }) }])],
    });
    assert.equal(second.content[0].text, "Cold");

    const seen = await api.messages.create({
      ...options,
      messages: user([{ type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } },
        { type: "text", text: says("What is it?", { text: "a pixel" }) }]),
    });
    assert.equal(seen.content[0].text, "a pixel");

    const thought = await api.messages.stream({
      ...options, max_tokens: 4000, thinking: { type: "enabled", budget_tokens: 1024 }, messages: user(says("Think", { text: "Done" })),
    }).finalMessage();
    assert.equal(thought.content[0].type, "thinking");
  });
}

const failures = [
  [400, Anthropic.BadRequestError, { role: "narrator" }],
  [401, Anthropic.AuthenticationError, { key: "sk-unknown" }],
  [402, Anthropic.APIError, { key: pair.broke }],
  [429, Anthropic.RateLimitError, { scenario: { fault: "status", status: 429 } }],
  [500, Anthropic.InternalServerError, { scenario: { fault: "status", status: 500 } }],
];
for (const [status, kind, { key, scenario, role = "user" }] of failures) {
  test(`status ${status} raises ${kind.name}`, async () => {
    const call = at(pair.gateway, key).messages.create({ ...options, messages: [{ role, content: says("Hi", scenario) }] });
    await assert.rejects(call, (error) => error instanceof kind && error.status === status);
  });
}

test("a broken upstream stream raises and never looks finished", async () => {
  for (const fault of ["reset", "end_early"]) {
    const kinds = [];
    await assert.rejects(async () => {
      const stream = await at(pair.gateway).messages.create({
        ...options, stream: true, messages: user(says("Hi", { text: "one two three four", chunks: 4, fault, after: 2 })),
      });
      for await (const event of stream) kinds.push(event.type);
    }, Anthropic.APIError);
    assert.ok(!kinds.includes("message_stop"));
  }
});
