package browsertest_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// TestOpenedPod is a person's way into another pod: by its card, behind the same address; through its freezing and its end.
func TestOpenedPod(t *testing.T) {
	db := pgtest.New(t, template)
	dir := pictures(t)
	b := startBrowser(t)
	long := "storefront-api-" + strings.Repeat("x", 178) + "-7c9b54"
	a := startPod(t, podConfig{Name: "web-1", DSN: db.DSN, Token: token, ActionToken: actionToken})
	other := startPod(t, podConfig{Name: long, DSN: db.DSN, Token: token})
	b.enter(t, a.url)
	_ = b.taken(t)
	b.await(t, `document.querySelectorAll('.pod[data-condition="live"]').length === 2`, patience)
	require.True(t, b.has(t, `[...document.querySelectorAll(".pod-name .tail")].some((e) => e.textContent.endsWith("7c9b54"))`), "the end of a long name is there")

	// The whole card is the link.
	b.do(t, chromedp.Click(`.pod[data-name^="storefront"]`))
	b.await(t, fmt.Sprintf(`document.getElementById("pod-name").textContent === %q && document.getElementById("verdict").dataset.tone === "ok"`, long), patience)
	b.await(t, `document.querySelectorAll("#caches tr").length === 5`, patience)
	require.True(t, b.has(t, fmt.Sprintf(`location.href.startsWith(%q)`, a.url)), "by the same address")
	require.True(t, b.has(t, `document.querySelectorAll(".pod").length === 1`))
	b.await(t, `document.querySelector("#chart .p99")`, patience)
	for _, shown := range []string{"events", "hits", "fresh", "resets", "delay"} {
		b.do(t, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{ const s = document.getElementById("chart-what"); s.value = %q; s.dispatchEvent(new Event("change")); }`, shown)))
		require.True(t, b.has(t, `document.querySelectorAll("#chart .grid").length >= 2`), shown)
	}
	b.do(t, chromedp.Evaluate[chromedp.Void](`{ const s = document.getElementById("chart-back"); s.value = "hour"; s.dispatchEvent(new Event("change")); }`))
	b.await(t, `document.querySelectorAll("#chart .p99, #chart .lone").length > 0`, patience)
	b.picture(t, dir, "opened", 1280, 800, "light")
	b.picture(t, dir, "opened-phone", 390, 844, "dark")
	require.Empty(t, b.taken(t))

	// It freezes: what it said last stays, and the page says that it does not reply.
	require.NoError(t, other.cmd.Process.Signal(syscall.SIGSTOP))
	b.await(t, `document.getElementById("verdict").dataset.tone === "gone"`, patience)
	b.await(t, `document.getElementById("verdict-text").textContent.includes("is lost: its last beat was")`, patience)
	require.True(t, b.has(t, `document.querySelectorAll("#caches tr").length === 5`))
	b.picture(t, dir, "opened-frozen", 1280, 800, "light")
	require.NoError(t, other.cmd.Process.Signal(syscall.SIGCONT))
	b.await(t, `document.getElementById("verdict").dataset.tone === "ok"`, patience)

	b.do(t, chromedp.Click(".where .all"), chromedp.WaitVisible("#verdict"))
	b.await(t, `document.querySelectorAll(".pod").length === 2`, patience)
	b.do(t, chromedp.Navigate(a.url+"?pod=nobody"))
	b.await(t, `document.getElementById("verdict-text").textContent === "No pod of this id is there, nor was lately"`, patience)
	b.picture(t, dir, "opened-nobody", 1280, 800, "light")
	require.Empty(t, b.taken(t))
}

// TestFindAndAct: forms without JavaScript, with a confirmation before anything is done.
func TestFindAndAct(t *testing.T) {
	db := pgtest.New(t, template)
	dir := pictures(t)
	b := startBrowser(t)
	a := startPod(t, podConfig{Name: "web-1", DSN: db.DSN, Token: token, ActionToken: actionToken})
	startPod(t, podConfig{Name: "web-2", DSN: db.DSN, Token: token})
	b.enter(t, a.url)
	_ = b.taken(t)
	b.await(t, `document.querySelectorAll('.pod[data-condition="live"]').length === 2`, patience)

	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	require.NoError(t, err)
	defer func() {
		_, _ = chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{})
	}()
	b.do(t, chromedp.Navigate(a.url), chromedp.WaitVisible(".found"))
	b.await(t, `location.pathname.endsWith("/plain") && document.body.textContent.includes("All 2 pods are in sync")`, patience)
	b.picture(t, dir, "plain", 1280, 800, "light")
	b.picture(t, dir, "plain-phone", 390, 844, "dark")

	b.do(t, chromedp.Navigate(a.url+"find"), chromedp.WaitVisible(`input[name="key"]`), chromedp.SendKeys(`form input[name="key"]`, "1\r"), chromedp.WaitVisible("#found-title"))
	b.await(t, `document.querySelectorAll(".found tbody tr").length === 2`, patience)
	b.picture(t, dir, "find", 1280, 800, "light")
	b.picture(t, dir, "find-phone", 390, 844, "dark")

	b.do(t, chromedp.Navigate(a.url+"actions"), chromedp.WaitVisible(`input[name="by"]`))
	b.picture(t, dir, "actions", 1280, 800, "light")
	b.picture(t, dir, "actions-phone", 390, 844, "light")
	b.do(t, chromedp.SendKeys(`input[name="topic"]`, "users"), chromedp.SendKeys(`input[name="subject"]`, "1"), chromedp.SendKeys(`input[name="by"]`, "olga\r"), chromedp.WaitVisible("#confirm"))
	b.picture(t, dir, "confirm", 1280, 800, "light")
	b.picture(t, dir, "confirm-dark", 1280, 800, "dark")
	b.do(t, chromedp.SendKeys(`input[name="action_token"]`, "wrong, wrong, wrong\r"), chromedp.WaitVisible("#wrong"))
	_ = b.taken(t) // the refusal
	b.do(t, chromedp.SendKeys(`input[name="action_token"]`, actionToken+"\r"), chromedp.WaitVisible("#done"))
	require.True(t, b.has(t, `document.getElementById("done").textContent.includes("confirmed by all pods")`))
	b.picture(t, dir, "done", 1280, 800, "light")
	require.Empty(t, b.taken(t))
}
