"use strict";
// Shows the objects of a page with <model-viewer>, each while it is near the part of the page that is seen.
//
// A page that is opened as a file may not fetch files beside it, but it may run scripts. So the object of a stage stands
// in a script of one call, get3dObject(key, base64 of a .glb), or in the page itself, in the element data-embedded names.
(() => {
  const urls = new Map();
  const waiting = new Map();
  const light = document.getElementById("light");

  window.get3dObject = (key, data) => waiting.get(key)?.(data);

  function blobUrl(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
    return URL.createObjectURL(new Blob([bytes], { type: "model/gltf-binary" }));
  }

  function load(stage) {
    const { key, source, embedded } = stage.dataset;
    if (!urls.has(key)) {
      const read = new Promise((resolve, reject) => {
        if (embedded) return resolve(document.getElementById(embedded).textContent);
        waiting.set(key, resolve);
        const script = document.createElement("script");
        script.src = source;
        script.onerror = () => reject(new Error(`${source} cannot be read`));
        script.onload = () => script.remove();
        document.head.append(script);
      });
      urls.set(key, read.then(blobUrl));
    }
    return urls.get(key);
  }

  // The colours as the model paints them: they shine by themselves, and nothing is reflected.
  function withoutLight(viewer) {
    for (const material of viewer.model.materials) {
      const surface = material.pbrMetallicRoughness;
      if (surface.baseColorTexture.texture) material.emissiveTexture.setTexture(surface.baseColorTexture.texture);
      material.setEmissiveFactor(surface.baseColorFactor.slice(0, 3));
      surface.setBaseColorFactor([0, 0, 0, surface.baseColorFactor[3]]);
      surface.metallicRoughnessTexture.setTexture(null);
      surface.setMetallicFactor(1);
      surface.setRoughnessFactor(1);
    }
  }

  async function show(stage, zoom) {
    const viewer = document.createElement("model-viewer");
    for (const [name, value] of Object.entries(JSON.parse(stage.dataset.view))) viewer.setAttribute(name, value);
    viewer.setAttribute("camera-controls", "");
    viewer.setAttribute("interaction-prompt", "none");
    viewer.setAttribute("touch-action", zoom ? "none" : "pan-y");
    viewer.setAttribute("alt", stage.dataset.name);
    if (!zoom) viewer.setAttribute("disable-zoom", "");
    if (light && !light.checked) {
      viewer.setAttribute("tone-mapping", "none");
      viewer.addEventListener("load", () => withoutLight(viewer));
    }
    const failed = () => { stage.textContent = `${stage.dataset.name} cannot be shown`; };
    viewer.addEventListener("error", failed);
    stage.replaceChildren(viewer);
    try {
      viewer.src = await load(stage);
    } catch {
      failed();
    }
  }

  const stages = [...document.querySelectorAll(".stage")];
  const near = new Set();
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting === near.has(target)) continue;
        if (isIntersecting) {
          near.add(target);
          show(target, false);
        } else {
          near.delete(target);
          target.replaceChildren();
        }
      }
    },
    { rootMargin: "100% 0%" },
  );
  stages.forEach((stage) => observer.observe(stage));
  light?.addEventListener("change", () => near.forEach((stage) => show(stage, false)));

  const dialog = document.getElementById("enlarged");
  for (const button of document.querySelectorAll(".enlarge")) {
    button.addEventListener("click", () => {
      const stage = button.closest("figure").querySelector(".stage").cloneNode(false);
      dialog.querySelector("h2").textContent = stage.dataset.name;
      dialog.querySelector(".large").replaceChildren(stage);
      dialog.showModal();
      show(stage, true);
    });
  }
  dialog?.addEventListener("close", () => dialog.querySelector(".large").replaceChildren());
})();
