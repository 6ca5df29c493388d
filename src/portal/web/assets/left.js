// Counts the seconds that are left. Without it the page shows how many there were when it was made.
const left = document.querySelector("[data-left]");
if (left) {
  const end = Date.now() + Number(left.dataset.left) * 1000;
  setInterval(() => { left.textContent = Math.max(0, Math.round((end - Date.now()) / 1000)); }, 1000);
}
