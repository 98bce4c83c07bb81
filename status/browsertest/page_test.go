package browsertest_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/tables"
)

const (
	token       = "correct horse battery staple"
	actionToken = "another correct horse battery"
	patience    = 60 * time.Second
)

func TestMain(m *testing.M) {
	if text := os.Getenv(podVariable); text != "" {
		if err := podMain(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(pgtest.Main(m))
}

var template = tables.Template("browser")

// browser starts Chromium with one page, and gathers everything it complains about.
type browser struct {
	ctx context.Context

	mu         sync.Mutex
	complaints []string
	requests   []string
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		pgtest.Missing(t, "chromium is not on this machine (Debian: apt-get install chromium)")
	}

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.WindowSize(1280, 800),
		chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("hide-scrollbars", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it refuses to have one as root
	}

	allocated, stop := chromedp.NewExecAllocator(t.Context(), options...)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // closes the browser and waits for it
		cancel()
		stop()
	})

	b := &browser{ctx: ctx}
	require.NoError(t, chromedp.Listen(ctx, b.listen))
	_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	require.NoError(t, err)

	for _, enable := range []cdp.Command[cdp.Empty, cdp.Empty]{log.Enable, runtime.Enable} {
		_, err := chromedp.Call(ctx, enable, cdp.Empty{})
		require.NoError(t, err)
	}

	return b
}

func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()

	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			b.complaints = append(b.complaints, fmt.Sprint("console: ", e.Args))
		}
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, "exception: "+e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.complaints = append(b.complaints, fmt.Sprintf("log: %s %s", e.Entry.Text, e.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

func (b *browser) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	require.NoError(t, chromedp.Do(ctx, actions...))
}

func ask[T any](t *testing.T, b *browser, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	answer, err := chromedp.Run(ctx, action)
	require.NoError(t, err)
	return answer
}

// has reports whether a condition, in JavaScript, holds.
func (b *browser) has(t *testing.T, condition string) bool {
	t.Helper()
	// Between two pages there is nothing of which anything could hold.
	return ask(t, b, chromedp.Evaluate[bool]("(() => { try { return !!("+condition+"); } catch { return false; } })()"))
}

func (b *browser) await(t *testing.T, condition string, within time.Duration) time.Duration {
	t.Helper()
	begin := time.Now()
	for !b.has(t, condition) {
		require.Less(t, time.Since(begin), within, condition)
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(begin)
}

// asked are the addresses of all requests.
func (b *browser) asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.requests)
}

func (b *browser) taken(t *testing.T) (complaints []string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	complaints, b.complaints = b.complaints, nil
	return complaints
}

// picture keeps what the page looks like.
func (b *browser) picture(t *testing.T, dir, name string, width, height int64, scheme string) {
	t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}}
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media)
	require.NoError(t, err)

	var as []chromedp.EmulateViewportOption
	if width < 600 {
		as = append(as, chromedp.EmulateMobile)
	}

	b.do(t, chromedp.EmulateViewport(width, height, as...), chromedp.Sleep(300*time.Millisecond)) // a picture, not an assertion
	png := ask(t, b, chromedp.FullScreenshot(100))
	require.NotEmpty(t, png)
	require.NoError(t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
	require.True(t, b.has(t, "document.documentElement.scrollWidth <= innerWidth"), "%s: nothing sticks out sideways", name)
	require.Empty(t, ask(t, b, chromedp.Evaluate[[]string](contrast)), "%s: words that are hard to read", name)
}

// contrast lists the words whose colour has a contrast of less than 4.5 to 1 with what is behind them (WCAG 2.2, 1.4.3).
const contrast = `(() => {
	const parse = (c) => { const [r, g, b, a = 1] = c.match(/[\d.]+/g).map(Number); return { rgb: [r, g, b], a }; };
	const light = ({ rgb }) => rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.a === 1) return c; } return { rgb: [255, 255, 255] }; };
	const bad = [];
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n = walk.nextNode(); n; n = walk.nextNode()) {
		const e = n.parentElement, style = getComputedStyle(e);
		if (!n.data.trim() || e.closest("noscript") || !e.getClientRects().length) continue;
		const [a, b] = [light(parse(e instanceof SVGElement ? style.fill : style.color)), light(behind(e))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) bad.push(n.data.trim() + " " + ratio.toFixed(2));
	}
	return bad;
})()`

func pictures(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("PGCOHERENCE_SCREENSHOTS")
	if dir == "" {
		dir = t.ArtifactDir()
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	return dir
}

// TestPage is a person's way through the page: log in, look, see a pod die, log out.
func TestPage(t *testing.T) {
	db := pgtest.New(t, template)
	dir := pictures(t)
	b := startBrowser(t)
	var pods []*process
	for _, name := range []string{"web-1", "web-2", "worker-1"} {
		pods = append(pods, startPod(t, podConfig{Name: name, DSN: db.DSN, Token: token}))
	}
	url := pods[0].url

	b.do(t, chromedp.Navigate(url), chromedp.WaitVisible("#token"))
	require.False(t, b.has(t, `document.documentElement.outerHTML.includes("web-")`), "nothing leaks without the token")
	for _, path := range []string{"status", "metrics", "events"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, http.NoBody)
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusUnauthorized, answer.StatusCode, path)
	}
	http.DefaultClient.CloseIdleConnections()
	b.picture(t, dir, "login", 1280, 800, "light")
	b.do(t, chromedp.SendKeys("#token", "not the token at all\r"), chromedp.WaitVisible("#wrong"))
	for _, complaint := range b.taken(t) {
		require.Contains(t, complaint, "401", "a form instead of the page is all there is to complain about")
	}

	b.do(t, chromedp.SendKeys("#token", token+"\r"), chromedp.WaitVisible("#verdict"))
	b.await(t, `document.querySelectorAll('.pod[data-condition="live"]').length === 3`, patience)
	b.await(t, `document.getElementById("verdict").dataset.tone === "ok"`, patience)
	b.await(t, `document.querySelector("#chart .p99")`, patience)
	require.True(t, b.has(t, `document.cookie === ""`), "scripts do not see the cookie")
	require.True(t, b.has(t, `document.getElementById("verdict-text").textContent === "All 3 pods are in sync"`))

	shown := ask(t, b, chromedp.Evaluate[int]("Number(document.body.dataset.shown)"))
	b.await(t, fmt.Sprintf("Number(document.body.dataset.shown) >= %d", shown+3), patience)
	require.True(t, b.has(t, `document.querySelectorAll("#caches tr").length === 5`), "four caches and the sessions'")
	require.True(t, b.has(t, `document.querySelectorAll("#topics li").length >= 5`))
	time.Sleep(pause()) // for a line worth a picture
	b.picture(t, dir, "light", 1280, 800, "light")
	b.picture(t, dir, "dark", 1280, 800, "dark")
	b.picture(t, dir, "phone", 390, 844, "light")

	pods[2].kill(t)
	took := b.await(t, `document.querySelector('.pod[data-name="worker-1"]').dataset.condition === "lost"`, patience)
	t.Logf("red %v after SIGKILL", took)
	require.True(t, b.has(t, `getComputedStyle(document.querySelector('.pod[data-condition="lost"]')).backgroundColor === "rgb(179, 38, 30)"`), "red")
	require.True(t, b.has(t, `document.title.includes("1 of 3 pods is lost, and nothing took its place")`))
	b.picture(t, dir, "lost-light", 1280, 800, "light")
	b.picture(t, dir, "lost-dark", 1280, 800, "dark")
	b.picture(t, dir, "lost-phone", 390, 844, "dark")
	leased := false
	for begin := time.Now(); !leased; { // its row is reaped, and it stays to be seen
		require.Less(t, time.Since(begin), patience)
		leased = rows(t, db) == 2
		time.Sleep(50 * time.Millisecond)
	}
	shown = ask(t, b, chromedp.Evaluate[int]("Number(document.body.dataset.shown)"))
	b.await(t, fmt.Sprintf("Number(document.body.dataset.shown) >= %d", shown+2), patience)
	require.True(t, b.has(t, `document.querySelector('.pod[data-name="worker-1"]').dataset.condition === "lost"`))
	require.Empty(t, b.taken(t), "the console stays empty")

	require.LessOrEqual(t, took, bound(), "a killed pod is red within the pod lease, and a reading or two")

	crowd(t, db)
	b.await(t, `document.querySelectorAll('.pod').length >= 50`, patience)
	require.True(t, b.has(t, `document.querySelector(".pod").dataset.condition === "lost"`), "what is red comes first")
	b.picture(t, dir, "crowd", 1280, 800, "light")

	b.do(t, chromedp.Click("#logout button"), chromedp.WaitVisible("#token"))
	for _, request := range b.asked() {
		require.True(t, strings.HasPrefix(request, url), "nothing is fetched from elsewhere: %s", request)
		require.NotContains(t, request, "correct", "no token in an address")
	}
	_ = b.taken(t) // the form again

	b.do(t, chromedp.SendKeys("#token", token+"\r"), chromedp.WaitVisible("#verdict"))
	b.await(t, `Number(document.body.dataset.shown) >= 1`, patience)
	pods[0].kill(t)
	b.await(t, `document.getElementById("verdict").dataset.tone === "gone"`, patience)
	require.True(t, b.has(t, `getComputedStyle(document.getElementById("verdict")).backgroundColor === "rgb(179, 38, 30)"`), "red, too")
	b.picture(t, dir, "gone", 1280, 800, "light")
}

// crowd makes it look as if there were many pods more, until they are reaped.
func crowd(t *testing.T, db *pgtest.DB) {
	t.Helper()
	_, err := db.Pool(t).Exec(t.Context(), `
		INSERT INTO pgcoherence.pod (id, name, started, epoch, pos_xmax, info)
		SELECT gen_random_uuid(), 'web-' || i, clock_timestamp() - i * interval '1 hour', epoch, pos_xmax,
			jsonb_build_object('state', CASE i WHEN 7 THEN 'polling' WHEN 8 THEN 'stale' WHEN 9 THEN 'catching-up' ELSE 'live' END, 'version', 'v1.4.2')
		FROM pgcoherence.pod, generate_series(3, 50) AS i WHERE name = 'web-1'`)
	require.NoError(t, err)
}

// bound is how long a pod may be dead before the page shows it: the pod lease, 5 s, and two readings.
func bound() time.Duration { return 7 * time.Second }

// pause is how long the line of the pictures gets to grow, if there is somebody to look at them.
func pause() time.Duration {
	if os.Getenv("PGCOHERENCE_SCREENSHOTS") == "" {
		return 0
	}
	return 40 * time.Second
}

func rows(t *testing.T, db *pgtest.DB) (n int) {
	t.Helper()
	require.NoError(t, db.Pool(t).QueryRow(t.Context(), "SELECT count(*) FROM pgcoherence.pod").Scan(&n))
	return n
}
