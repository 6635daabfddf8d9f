"use strict";

const show = (id, text) => { document.getElementById(id).textContent = text; };
const on = (id, action) => document.getElementById(id).addEventListener("click", action);

const json = async (response) => JSON.stringify(await response.json(), null, 2);

on("hello-start", async () => {
  const name = document.getElementById("hello-name").value.trim().replaceAll(" ", "_");
  const response = await fetch(`hello/${encodeURIComponent(name)}`);
  show("hello-out", response.ok ? await json(response) : `${response.status} ${response.statusText}`);
});

on("visits-start", async () => { show("visits-out", await json(await fetch("visits"))); });

document.getElementById("form-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const response = await fetch("form", { method: "POST", body: new FormData(event.target) });
  show("form-out", response.ok ? await json(response) : `${response.status} ${response.statusText}`);
});

let waiting = 0;
const waits = (line) => show("wait-out", `${line ? `${line}\n` : ""}${waiting} waiting`);

on("wait-start", async () => {
  waiting += 1;
  waits("");
  const response = await fetch("wait");
  waiting -= 1;
  waits(await json(response));
});

on("ring-start", async () => { await fetch("ring", { method: "POST" }); });

on("stream-start", async () => {
  const began = performance.now();
  const response = await fetch("stream");
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const seconds = ((performance.now() - began) / 1000).toFixed(2);
    text = `${seconds} s  ${decoder.decode(value, { stream: true }).trimEnd()}\n${text}`;
    show("stream-out", text);
  }
});

on("upload-start", async () => {
  const chosen = document.getElementById("upload-file").files[0];
  const body = chosen || new Blob([new Uint8Array(32 * 1024 * 1024)]);
  show("upload-out", `sending ${body.size.toLocaleString()} bytes ...`);
  const response = await fetch("upload", { method: "POST", body });
  show("upload-out", await json(response));
});

on("static-whole", () => tell({}));
on("static-range", () => tell({ Range: "bytes=0-99" }));
on("static-again", async () => {
  const first = await fetch("static/logo.svg", { method: "HEAD", cache: "no-store" });
  tell({ "If-None-Match": first.headers.get("ETag") });
});

async function tell(headers) {
  const response = await fetch("static/logo.svg", { headers, cache: "no-store" });
  const body = await response.arrayBuffer();
  const fields = ["content-type", "content-length", "content-range", "content-encoding", "etag", "last-modified", "cache-control"];
  const lines = fields.filter((name) => response.headers.has(name)).map((name) => `${name}: ${response.headers.get(name)}`);
  show("static-out", [`${response.status} ${response.statusText}`, ...lines, "", `${body.byteLength} bytes`].join("\n"));
}

on("echo-start", async () => {
  const response = await fetch("echo?name=value&text=gr%C3%BC%C3%9Fe", { headers: { "X-Anything": "at all" } });
  show("echo-out", await json(response));
});

on("error-start", async () => {
  const response = await fetch("error");
  document.getElementById("error-out").srcdoc = await response.text();
});
