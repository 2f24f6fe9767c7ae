// The Vercel AI SDK with its OpenAI, OpenAI-compatible and Anthropic providers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, streamText, tool } from "ai";
import { z } from "zod";
import { PIXEL, pair, places, says } from "./pair.mjs";

const models = (place, key = place.key) => [
  ["openai", createOpenAI({ baseURL: place.openai, apiKey: key }).chat("gpt-5.5")],
  ["openai-compatible", createOpenAICompatible({ name: "gateway", baseURL: place.openai, apiKey: key })("claude-opus-4-8")],
  ["anthropic", createAnthropic({ baseURL: `${place.anthropic}/v1`, apiKey: key })("claude-opus-4-8")],
];
const weather = tool({ description: "Weather of a city", inputSchema: z.object({ city: z.string() }) });
const options = { maxRetries: 0, maxOutputTokens: 200 };

for (const place of places) {
  for (const [provider, model] of models(place)) {
    test(`${place.name} through ${provider}: text, stream, tool, picture`, async () => {
      const reply = await generateText({ ...options, model, prompt: says("Hi", { text: "Grüße 🌍", in: 41, out: 7 }) });
      assert.equal(reply.text, "Grüße 🌍");
      assert.equal(reply.usage.inputTokens, 41);

      const stream = streamText({ ...options, model, prompt: says("Hi", { text: "one two three", chunks: 3 }) });
      let text = "";
      for await (const piece of stream.textStream) text += piece;
      assert.equal(text, "one two three");
      assert.equal(await stream.finishReason, "stop");

      const called = await generateText({
        ...options, model, tools: { weather }, prompt: says("Weather?", { tool: "weather", args: '{"city":"Oslo"}' }),
      });
      assert.deepEqual(called.toolCalls[0].input, { city: "Oslo" });

      const seen = await generateText({
        ...options, model,
        messages: [{ role: "user", content: [{ type: "text", text: says("What is it?", { text: "a pixel" }) },
          { type: "image", image: Buffer.from(PIXEL, "base64"), mediaType: "image/png" }] }],
      });
      assert.equal(seen.text, "a pixel");
    });
  }
}

for (const [provider, model] of models(pair.gateway, "sk-unknown")) {
  test(`a refused key is an APICallError with its status through ${provider}`, async () => {
    await assert.rejects(generateText({ ...options, model, prompt: says("Hi") }),
      (error) => APICallError.isInstance(error) && error.statusCode === 401 && !error.isRetryable);
  });
}

for (const [provider, model] of models(pair.gateway)) {
  for (const [status, retryable] of [[429, true], [500, true]]) {
    test(`status ${status} is an APICallError through ${provider}`, async () => {
      await assert.rejects(generateText({ ...options, model, prompt: says("Hi", { fault: "status", status }) }),
        (error) => APICallError.isInstance(error) && error.statusCode === status && error.isRetryable === retryable);
    });
  }
}
