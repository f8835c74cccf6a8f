"use strict";
/* The map viewer. It holds no less-than sign and no ampersand, since it stands inside of XML. */
(function () {
    const byId = id => document.getElementById(id);
    const data = JSON.parse(byId("data").textContent);
    const tokens = byId("tokens").textContent.split("\n");
    const palette = byId("palette").textContent.match(/....../g).map(c => parseInt(c, 16));
    const heads = Array.from(document.querySelectorAll(".head"));
    const canvas = byId("map"), say = byId("say"), pen = canvas.getContext("2d");
    const bins = data.bins, step = data.tokens_per_bin;
    const margin = 44; /* for labels, left and above */
    const codeOf = new Map(palette.map((colour, code) => [colour, code]));
    let head = 0, pixels = null, picture = null;
    let view = { x: 0, y: 0, n: bins }; /* bins that are shown: n by n from (x, y) */
    let at = { x: 0, y: bins - 1 };      /* the bin that is looked at */

    const clamp = (x, lo, hi) => Math.max(lo, Math.min(x, hi));
    const first = bin => bin * step;
    const last = bin => Math.min((bin + 1) * step, data.tokens) - 1;
    const range = bin => first(bin) === last(bin) ? "" + first(bin) : first(bin) + " to " + last(bin);

    function textOf(bin, most) {
        const text = tokens.slice(first(bin), Math.min(last(bin) + 1, first(bin) + 12)).join("");
        return text.length > most ? text.slice(0, most - 1) + "…" : text;
    }

    function documentOf(token) {
        let name = "";
        data.documents.forEach(d => { if (token >= d.first) name = d.name; });
        return data.documents.length > 1 ? ", " + name : "";
    }

    function codeAt(x, y) {
        const i = 4 * (y * bins + x);
        return codeOf.get(pixels[i] * 65536 + pixels[i + 1] * 256 + pixels[i + 2]);
    }

    function percent(code) {
        if (code === undefined) return "unknown";
        if (code === 0) return "below " + 100 * data.least + " %";
        const p = 100 * Math.pow(10, data.decades * (code - 255) / 254);
        return (p >= 9.95 ? p.toFixed(0) : p >= 0.995 ? p.toFixed(1) : p >= 0.0995 ? p.toFixed(2) : p.toFixed(3)) + " %";
    }

    function line(label, bin) {
        const p = document.createElement("div"), token = document.createElement("span");
        token.className = "token";
        token.textContent = textOf(bin, 60);
        p.append(label + " " + range(bin) + documentOf(first(bin)) + ": ", token);
        return p;
    }

    function tell() {
        const map = data.maps[head], title = document.createElement("b"), value = document.createElement("div");
        title.textContent = "Layer " + map.layer + ", head " + map.head + ": ";
        value.append(title, at.x > at.y ? "keys after their query are never seen"
            : (data.fold === "max" ? "largest probability " : step === 1 ? "attention " : "share of attention ") +
              percent(codeAt(at.x, at.y)));
        say.replaceChildren(value, line(step === 1 ? "query" : "queries", at.y),
            line(step === 1 ? "key" : "keys", at.x));
    }

    /* ---- drawing ---- */

    function labels(size, cell) {
        const every = Math.max(1, Math.ceil(15 / cell)), style = getComputedStyle(document.body);
        const wide = step === 1 ? 7 : 6;
        pen.fillStyle = style.color;
        pen.font = "11px " + style.fontFamily;
        pen.textBaseline = "middle";
        for (let i = 0; view.n > i; i += every) {
            const place = margin + (i + 0.5) * cell;
            const name = bin => step === 1 ? textOf(bin, wide) : "" + first(bin);
            pen.textAlign = "right";
            if (bins > view.y + i) pen.fillText(name(view.y + i), margin - 4, place);
            pen.save();
            pen.translate(place, margin - 4);
            pen.rotate(-Math.PI / 2);
            pen.textAlign = "left";
            if (bins > view.x + i) pen.fillText(name(view.x + i), 0, 0);
            pen.restore();
        }
    }

    function boundaries(size, cell) {
        pen.strokeStyle = "#0b63a5";
        pen.lineWidth = 1;
        data.documents.slice(1).forEach(d => {
            const x = margin + (d.first / step - view.x) * cell, y = margin + (d.first / step - view.y) * cell;
            pen.beginPath();
            if (x > margin) { pen.moveTo(x, margin); pen.lineTo(x, size); }
            if (y > margin) { pen.moveTo(margin, y); pen.lineTo(size, y); }
            pen.stroke();
        });
    }

    function draw() {
        const size = canvas.clientWidth, fine = window.devicePixelRatio || 1;
        canvas.width = canvas.height = Math.round(size * fine);
        pen.setTransform(fine, 0, 0, fine, 0, 0);
        const inner = size - margin, cell = inner / view.n;
        pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--box") || "#fff";
        pen.fillRect(0, 0, size, size);
        pen.save();
        pen.beginPath();
        pen.rect(margin, margin, inner, inner);
        pen.clip();
        pen.fillStyle = "#fff";
        pen.fillRect(margin, margin, inner, inner);
        pen.imageSmoothingEnabled = cell > 1 ? false : true;
        if (picture) pen.drawImage(picture, view.x, view.y, view.n, view.n, margin, margin, inner, inner);
        boundaries(size, cell);
        pen.strokeStyle = "#00a0ff";
        pen.lineWidth = 2;
        pen.strokeRect(margin + (at.x - view.x) * cell - 1, margin + (at.y - view.y) * cell - 1, Math.max(cell, 3) + 2,
            Math.max(cell, 3) + 2);
        pen.restore();
        labels(size, cell);
        if (pixels) tell();
    }

    /* ---- moving ---- */

    function place(x, y, n) {
        view.n = clamp(n, Math.min(8, bins), bins);
        view.x = clamp(Math.round(x), 0, bins - view.n);
        view.y = clamp(Math.round(y), 0, bins - view.n);
    }

    /* The bin that is looked at stays where it is on the screen. */
    function zoom(factor) {
        const n = factor > 1 ? Math.ceil(view.n * factor) : Math.floor(view.n * factor);
        const size = clamp(n, Math.min(8, bins), bins);
        place(at.x - (at.x - view.x) * size / view.n, at.y - (at.y - view.y) * size / view.n, size);
        draw();
    }

    function look(x, y) {
        at = { x: clamp(x, 0, bins - 1), y: clamp(y, 0, bins - 1) };
        place(clamp(view.x, at.x - view.n + 1, at.x), clamp(view.y, at.y - view.n + 1, at.y), view.n);
        draw();
    }

    function binAt(event) {
        const box = canvas.getBoundingClientRect(), cell = (box.width - margin) / view.n;
        return { x: Math.floor(view.x + (event.clientX - box.left - margin) / cell),
                 y: Math.floor(view.y + (event.clientY - box.top - margin) / cell) };
    }

    function show(index) {
        head = (index + heads.length) % heads.length;
        heads.forEach((h, i) => h.setAttribute("aria-pressed", i === head ? "true" : "false"));
        const image = heads[head].querySelector("img"), ready = () => {
            const off = document.createElement("canvas");
            off.width = off.height = bins;
            const ink = off.getContext("2d", { willReadFrequently: true });
            ink.drawImage(image, 0, 0);
            pixels = ink.getImageData(0, 0, bins, bins).data;
            picture = off;
            draw();
        };
        image.decode().then(ready, ready);
    }

    let grip = null; /* where a drag began */
    canvas.addEventListener("pointerdown", e => {
        grip = { x: e.clientX, y: e.clientY, view: Object.assign({}, view), moved: false };
        canvas.setPointerCapture(e.pointerId);
    });
    canvas.addEventListener("pointermove", e => {
        if (grip) {
            const cell = (canvas.clientWidth - margin) / view.n;
            const dx = (e.clientX - grip.x) / cell, dy = (e.clientY - grip.y) / cell;
            if (Math.abs(e.clientX - grip.x) + Math.abs(e.clientY - grip.y) > 5) grip.moved = true;
            if (grip.moved) place(grip.view.x - dx, grip.view.y - dy, view.n);
            draw();
        } else if (e.pointerType === "mouse") {
            const bin = binAt(e);
            if (bin.x >= view.x) if (bin.y >= view.y) look(bin.x, bin.y);
        }
    });
    canvas.addEventListener("pointerup", e => {
        if (grip) if (!grip.moved) { const bin = binAt(e); look(bin.x, bin.y); }
        grip = null;
    });
    canvas.addEventListener("pointercancel", () => { grip = null; });
    canvas.addEventListener("wheel", e => {
        e.preventDefault();
        zoom(e.deltaY > 0 ? 1.25 : 0.8);
    }, { passive: false });
    canvas.addEventListener("dblclick", () => zoom(0.5));

    const far = () => Math.max(1, Math.floor(view.n / 8));
    const keys = {
        ArrowLeft: e => look(at.x - (e.shiftKey ? far() : 1), at.y),
        ArrowRight: e => look(at.x + (e.shiftKey ? far() : 1), at.y),
        ArrowUp: e => look(at.x, at.y - (e.shiftKey ? far() : 1)),
        ArrowDown: e => look(at.x, at.y + (e.shiftKey ? far() : 1)),
        Home: () => look(0, at.y),
        End: () => look(at.y, at.y),
        "+": () => zoom(0.8),
        "=": () => zoom(0.8),
        "-": () => zoom(1.25),
        "0": () => { place(0, 0, bins); draw(); },
        PageUp: () => show(head - 1),
        PageDown: () => show(head + 1)
    };
    canvas.addEventListener("keydown", e => {
        const act = e.ctrlKey || e.metaKey || e.altKey ? null : keys[e.key];
        if (!act) return;
        e.preventDefault();
        act(e);
    });
    byId("closer").addEventListener("click", () => zoom(0.5));
    byId("wider").addEventListener("click", () => zoom(2));
    byId("whole").addEventListener("click", () => keys["0"]());
    byId("before").addEventListener("click", () => show(head - 1));
    byId("after").addEventListener("click", () => show(head + 1));
    heads.forEach((h, i) => h.addEventListener("click", () => show(i)));
    window.addEventListener("resize", draw);
    byId("viewer").hidden = false;
    show(0);
})();
