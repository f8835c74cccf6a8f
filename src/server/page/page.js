// The page: a chat over /v1/chat/completions, and the cache's map from /status. No library, no outside fetch.
'use strict';

const $ = (id) => document.getElementById(id);
const state = { messages: [], abort: null, running: false };

const headers = () => {
  const key = $('key').value.trim();
  return key ? { Authorization: 'Bearer ' + key } : {};
};

const bytes = (n) => {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  for (; n >= 1024 && unit < 4; unit++) n /= 1024;
  return (unit ? n.toFixed(1) : n) + ' ' + units[unit];
};

// ---- chat ----

const addTurn = (who, text, wrong) => {
  const turn = document.createElement('p');
  turn.className = wrong ? 'turn wrong' : 'turn';
  const name = document.createElement('b');
  name.textContent = who;
  const body = document.createElement('span');
  body.textContent = text;
  turn.append(name, body);
  $('log').append(turn);
  $('log').scrollTop = $('log').scrollHeight;
  return body;
};

const setRunning = (running) => {
  state.running = running;
  $('send').disabled = running;
  $('stop').disabled = !running;
};

// Reads server-sent events and hands each one's JSON to take.
const readEvents = async (response, take) => {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.slice(end + 2)) {
      const event = rest.slice(0, end);
      if (event.startsWith('data: ') && event !== 'data: [DONE]') take(JSON.parse(event.slice(6)));
    }
  }
};

const figures = (began, first, count, usage) => {
  const now = performance.now();
  const rate = count > 1 ? ((count - 1) / ((now - first) / 1000)).toFixed(1) + ' tokens/s' : '';
  const wait = first ? 'first after ' + ((first - began) / 1000).toFixed(2) + ' s' : '';
  const cached = usage ? usage.prompt_tokens + ' prompt tokens, ' + usage.prompt_tokens_details.cached_tokens + ' of them cached' : '';
  $('figures').textContent = [rate, wait, cached].filter(Boolean).join(' · ');
};

const ask = async () => {
  const body = {
    messages: state.messages, stream: true, stream_options: { include_usage: true },
    max_tokens: Number($('tokens').value) || 256, temperature: Number($('temperature').value),
  };
  if ($('seed').value !== '') body.seed = Number($('seed').value);
  const began = performance.now();
  let first = 0, count = 0, text = '', usage = null;
  state.abort = new AbortController();
  const response = await fetch('/v1/chat/completions', {
    method: 'POST', headers: { 'Content-Type': 'application/json', ...headers() }, body: JSON.stringify(body), signal: state.abort.signal,
  });
  if (!response.ok) throw new Error((await response.json()).error.message);
  const span = addTurn('Model', '');
  try {
    await readEvents(response, (event) => {
      if (event.error) throw new Error(event.error.message);
      const delta = event.choices[0]?.delta?.content;
      if (delta) {
        if (!first) first = performance.now();
        count++;
        text += delta;
        span.textContent = text;
        $('log').scrollTop = $('log').scrollHeight;
      }
      if (event.usage) usage = event.usage;
      figures(began, first, usage ? usage.completion_tokens : count, usage);
    });
  } finally {
    state.messages.push({ role: 'assistant', content: text });
  }
};

const send = async (event) => {
  event.preventDefault();
  const text = $('prompt').value;
  if (!text.trim() || state.running) return;
  state.messages.push({ role: 'user', content: text });
  addTurn('You', text);
  $('prompt').value = '';
  setRunning(true);
  try {
    await ask();
  } catch (error) {
    if (error.name !== 'AbortError') addTurn('Server', error.message, true);
  } finally {
    setRunning(false);
    $('prompt').focus();
  }
};

// ---- the cache ----

const colours = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#f0e442', '#8c8c8c'];

const drawMap = (status) => {
  const map = $('map');
  map.querySelectorAll('rect').forEach((r) => r.remove());
  const total = status.kv_budget_bytes || 1;
  let x = 0;
  status.tenants.forEach((t, i) => {
    for (const [part, opacity] of [[t.kv_bytes - t.kv_cached_bytes, 1], [t.kv_cached_bytes, 0.45]]) {
      const r = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
      const width = (100 * Math.max(0, part)) / total;
      for (const [k, v] of Object.entries({ x, y: 0, width, height: 12, fill: colours[i % colours.length], 'fill-opacity': opacity })) r.setAttribute(k, v);
      map.append(r);
      x += width;
    }
  });
  $('map-title').textContent = 'KV cache: ' + status.tenants.map((t) => t.name + ' ' + bytes(t.kv_bytes)).join(', ');
};

const drawTable = (status) => {
  const rows = status.tenants.map((t, i) => {
    const row = document.createElement('tr');
    const cells = [t.name, bytes(t.kv_bytes), t.budget_bytes ? bytes(t.budget_bytes) : 'all', t.running, t.waiting];
    cells.forEach((text, k) => {
      const cell = document.createElement('td');
      if (k === 0) {
        const swatch = document.createElement('span');
        swatch.className = 'swatch';
        swatch.style.backgroundColor = colours[i % colours.length];
        cell.append(swatch);
      }
      cell.append(String(text));
      row.append(cell);
    });
    return row;
  });
  $('tenants').tBodies[0].replaceChildren(...rows);
};

const refresh = async () => {
  try {
    const response = await fetch('/status', { headers: headers() });
    if (response.ok) {
      const status = await response.json();
      $('model').textContent = status.model + ' · ' + status.recipe;
      $('memory-note').textContent = bytes(status.kv_bytes) + ' of ' + bytes(status.kv_budget_bytes) + ' in use; paler: kept for prompts to come';
      drawMap(status);
      drawTable(status);
    } else {
      $('memory-note').textContent = response.status === 401 || response.status === 403 ? 'Give an operator’s key to see it.' : 'No figures at the moment.';
    }
  } catch {
    $('memory-note').textContent = 'The server can’t be reached.';
  }
  setTimeout(refresh, document.hidden ? 5000 : 1000);
};

$('form').addEventListener('submit', send);
$('key-form').addEventListener('submit', (e) => e.preventDefault()); // the key goes into headers alone
$('prompt').addEventListener('keydown', (e) => {
  if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) {
    e.preventDefault();
    $('form').requestSubmit();
  }
});
$('stop').addEventListener('click', () => state.abort?.abort());
$('clear').addEventListener('click', () => {
  state.abort?.abort();
  state.messages = [];
  $('log').replaceChildren();
  $('figures').textContent = '';
});
refresh();
