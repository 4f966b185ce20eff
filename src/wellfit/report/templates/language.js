// Shows the page in another language: every text of the catalogue has a number, and the page holds all texts by it.
// Texts are only ever set as text. Nothing is stored and nothing is loaded.
"use strict";
(() => {
  const { languages, texts, language: first } = JSON.parse(document.getElementById("words").textContent);
  const numbers = new Map(texts[first].map((text, number) => [text, number]));
  let language = first;

  window.wellfitWords = {
    get language() { return language; },
    // A text in the page's first language, as the reader's choice has it; one that the page does not know stays.
    say(text) {
      const number = numbers.get(text);
      return number === undefined ? text : texts[language][number];
    },
  };

  function speak(next) {
    language = next;
    document.documentElement.lang = next;
    for (const element of document.querySelectorAll("[data-say]")) {
      element.textContent = texts[next][element.dataset.say];
    }
    for (const element of document.querySelectorAll("[data-say-label]")) {
      element.setAttribute("aria-label", texts[next][element.dataset.sayLabel]);
    }
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.lang === next));
    }
    document.dispatchEvent(new CustomEvent("wellfit:language", { detail: { language: next } }));
  }

  const place = document.getElementById("languages");
  const buttons = languages.map(([code, name]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.lang = code;
    button.textContent = name;
    button.setAttribute("aria-pressed", String(code === first));
    button.addEventListener("click", () => speak(code));
    place.append(button);
    return button;
  });
  place.hidden = false;
})();
