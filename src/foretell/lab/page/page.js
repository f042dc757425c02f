const tip = document.getElementById("tip");
document.addEventListener("mousemove", (event) => {
  const over = event.target.closest("[data-tip]");
  tip.style.visibility = over ? "visible" : "hidden";
  if (!over) return;
  tip.textContent = over.dataset.tip;
  const room = tip.getBoundingClientRect();
  const left = Math.min(event.clientX + 14, window.innerWidth - room.width - 8);
  const below = event.clientY + 18 + room.height > window.innerHeight;
  tip.style.left = Math.max(8, left) + "px";
  tip.style.top = (below ? event.clientY - room.height - 12 : event.clientY + 18) + "px";
});
