// The official OpenAI client for Node.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { CITY, PIXEL, pair, places, says } from "./pair.mjs";

const at = (place, key) => new OpenAI({ baseURL: place.openai, apiKey: key ?? place.key, maxRetries: 0, timeout: 20_000 });
const tools = [{ type: "function", function: { name: "weather", parameters: CITY } }];
const user = (content) => [{ role: "user", content }];

for (const place of places) {
  for (const model of ["gpt-5.5", "claude-opus-4-8"]) {
    test(`${place.name} ${model}: text, stream, tools, picture`, async () => {
      const api = at(place);
      const options = { model, max_tokens: 200 };
      const reply = await api.chat.completions.create({ ...options, messages: user(says("Hi", { text: "Grüße 🌍", in: 41, out: 7 })) });
      assert.equal(reply.choices[0].message.content, "Grüße 🌍");
      assert.equal(reply.usage.total_tokens, 48);

      const stream = await api.chat.completions.create({ ...options, stream: true, messages: user(says("Hi", { text: "one two three", chunks: 3 })) });
      let text = "";
      const finishes = [];
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta?.content ?? "";
        if (chunk.choices[0]?.finish_reason) finishes.push(chunk.choices[0].finish_reason);
      }
      assert.equal(text, "one two three");
      assert.deepEqual(finishes, ["stop"]);

      const asked = user(says("Weather?", { tool: "weather", args: '{"city":"Oslo"}' }));
      const helper = api.chat.completions.stream({ ...options, messages: asked, tools });
      const message = (await helper.finalChatCompletion()).choices[0].message;
      assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { city: "Oslo" });
      const called = message.tool_calls.map(({ id, type, function: { name, arguments: args } }) => ({ id, type, function: { name, arguments: args } }));
      const second = await api.chat.completions.create({
        ...options, tools,
        messages: [...asked, { role: "assistant", content: null, tool_calls: called },
          { role: "tool", tool_call_id: called[0].id, content: "4 degrees" }, ...user(says("And?", { text: "Cold" }))],
      });
      assert.equal(second.choices[0].message.content, "Cold");

      const seen = await api.chat.completions.create({
        ...options,
        messages: user([{ type: "text", text: says("What is it?", { text: "a pixel" }) },
          { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } }]),
      });
      assert.equal(seen.choices[0].message.content, "a pixel");
    });
  }
}

const failures = [
  [400, OpenAI.BadRequestError, {}],
  [401, OpenAI.AuthenticationError, { key: "sk-unknown" }],
  [402, OpenAI.APIError, { key: pair.broke }],
  [429, OpenAI.RateLimitError, { scenario: { fault: "status", status: 429 } }],
  [500, OpenAI.InternalServerError, { scenario: { fault: "status", status: 500 } }],
];
for (const [status, kind, { key, scenario }] of failures) {
  test(`status ${status} raises ${kind.name}`, async () => {
    const content = status === 400 ? { not: "a text" } : says("Hi", scenario);
    const call = at(pair.gateway, key).chat.completions.create({ model: "gpt-5.5", messages: user(content) });
    await assert.rejects(call, (error) => error instanceof kind && error.status === status && Boolean(error.error?.message));
  });
}

test("a broken upstream stream raises and never looks finished", async () => {
  for (const fault of ["reset", "end_early"]) {
    const finishes = [];
    await assert.rejects(async () => {
      const stream = await at(pair.gateway).chat.completions.create({
        model: "gpt-5.5", stream: true, messages: user(says("Hi", { text: "one two three four", chunks: 4, fault, after: 2 })),
      });
      for await (const chunk of stream) if (chunk.choices[0]?.finish_reason) finishes.push(chunk.choices[0].finish_reason);
    }, OpenAI.APIError);
    assert.deepEqual(finishes, []);
  }
});
