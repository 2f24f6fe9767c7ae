// Where the clients are pointed, and prompts that script the provider.
export const pair = JSON.parse(process.env.PAIR);
export const places = [pair.gateway, pair.simulator];

let number = 0;

/** A prompt that makes the provider behind the gateway act out a scenario. */
export function says(prompt, scenario = {}) {
  const parts = [`node-${process.pid}-${++number}`];
  for (const [key, value] of Object.entries(scenario)) parts.push(`${key}=${encodeURIComponent(String(value))}`);
  return `${prompt} [[wb:${parts.join(";")}]]`;
}

export const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

export const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
