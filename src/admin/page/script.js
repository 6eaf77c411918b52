'use strict';
// Fetches the page every two seconds and puts in place what has changed: nodes stay, and with them focus, selection and what is open.
(() => {
  const EVERY = 2000;
  const PATIENCE = 5000;
  const [live, lost, pause] = ['live', 'lost', 'pause'].map((id) => document.getElementById(id));
  let timer = 0;
  let seen = new Date();
  let paused = false;

  const say = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };

  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
      old.replaceWith(document.adoptNode(fresh));
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name, value } of [...fresh.attributes]) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      // What a reader has opened stays open.
      if (name !== 'open' && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    const [before, after] = [[...old.childNodes], [...fresh.childNodes]];
    after.forEach((child, index) => {
      if (index < before.length) morph(before[index], child);
      else old.append(document.adoptNode(child));
    });
    before.slice(after.length).forEach((child) => child.remove());
  };

  const update = async () => {
    clearTimeout(timer);
    try {
      const signal = AbortSignal.timeout(PATIENCE);
      const answer = await fetch(location.pathname, { headers: { accept: 'text/html' }, cache: 'no-store', signal });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const page = fresh.getElementById('page');
      if (!page) throw new Error('another page');
      // Another version has another script, too.
      if (fresh.documentElement.dataset.version !== document.documentElement.dataset.version) {
        location.reload();
        return;
      }
      if (!paused) {
        morph(document.getElementById('page'), page);
        document.title = fresh.title;
        morph(document.getElementById('icon'), fresh.getElementById('icon'));
      }
      seen = new Date();
      document.documentElement.classList.remove('stale');
      say(lost, '');
      say(live, paused ? 'Paused' : 'Live');
    } catch {
      document.documentElement.classList.add('stale');
      say(live, 'Stale');
      say(lost, `bearerd cannot be reached. What is shown is from ${seen.toLocaleTimeString()}.`);
    }
    plan();
  };

  const plan = () => {
    clearTimeout(timer);
    if (!document.hidden && !paused) timer = setTimeout(update, EVERY);
  };

  pause.hidden = false;
  pause.addEventListener('click', () => {
    paused = !paused;
    say(pause, paused ? 'Resume' : 'Pause');
    say(live, paused ? 'Paused' : 'Live');
    if (paused) clearTimeout(timer);
    else update();
  });
  document.addEventListener('visibilitychange', () => (document.hidden || paused ? clearTimeout(timer) : update()));
  say(live, 'Live');
  plan();
})();
