"use strict";
// The stream of this session. When the session is over, on whatever pod it was ended, so is the stream, and the page goes.
const live = document.getElementById("live");
const events = new EventSource("/events");
events.addEventListener("time", (e) => { live.textContent = e.data; });
events.addEventListener("over", (e) => {
  events.close();
  live.textContent = "over: the session was " + e.data;
  setTimeout(() => location.assign("/"), 1500);
});
events.onerror = () => {
  if (events.readyState === EventSource.CLOSED) location.assign("/"); // refused: not logged in any more
  else live.textContent = "connecting …";
};
