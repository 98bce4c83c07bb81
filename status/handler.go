package status

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

//go:embed page
var pages embed.FS

// Handler serves health, status, metrics and the live page of one pod. All methods are safe for concurrent use.
type Handler struct {
	cfg     Config
	bus     Bus
	gate    *gate
	probe   *probe
	stream  *stream
	begin   time.Time
	tracker *tracker
	places  places
	remotes remotes
	running atomic.Bool
	counters
	serve   http.Handler
	metrics http.Handler
}

var _ http.Handler = (*Handler)(nil)

// New returns a Handler for a bus. It starts nothing and does no I/O. cfg is copied, and may be nil. The error is
// [ErrConfig] and names the field, or it is an error of the registry.
func New(b Bus, cfg *Config) (*Handler, error) {
	c := cfg.withDefaults()

	if b == nil {
		return nil, fmt.Errorf("%w: bus is nil", ErrConfig)
	}
	if err := c.validate(); err != nil {
		return nil, err
	}

	h := &Handler{cfg: c, bus: b, gate: newGate(&c), begin: time.Now(), tracker: newTracker(c.Interval), counters: newCounters()}
	h.probe = newProbe(b, &h.cfg)
	h.stream = newStream(h)
	if err := h.register(); err != nil {
		return nil, err
	}

	h.metrics = promhttp.HandlerFor(c.Registry, promhttp.HandlerOpts{Registry: c.Registry, EnableOpenMetrics: true})
	h.serve = http.NewCrossOriginProtection().Handler(h.routes())
	return h, nil
}

// register registers all collectors that are not registered yet. Those of Config.Collectors come first: one may collect
// for another, as a store for a framework does for the sessions beneath it. Two parts that would export the same metrics
// are an error, since the figures of one of them would be missing without a word.
func (h *Handler) register() error {
	covered := make(map[string]bool) // descriptions that Config.Collectors have
	for i, c := range h.cfg.Collectors {
		if err := h.registerOne(part{field: fmt.Sprintf("Collectors[%d]", i), collector: c}); err != nil {
			return err
		}
		for _, d := range descriptions(c) {
			covered[d] = true
		}
	}

	owners := make(map[string]string) // by description
	for _, part := range h.parts() {
		mine := descriptions(part.collector)
		if len(mine) > 0 && !slices.ContainsFunc(mine, func(d string) bool { return !covered[d] }) {
			continue // another exports it with its own
		}
		for _, d := range mine {
			if other, taken := owners[d]; taken {
				return fmt.Errorf("%w: %s exports the same metrics as %s: give one of them a name of its own", ErrConfig, part.field, other)
			}
		}
		for _, d := range mine {
			owners[d] = part.field
		}
		if err := h.registerOne(part); err != nil {
			return err
		}
	}
	return nil
}

// part is something of the Config that exports metrics.
type part struct {
	field     string
	collector prometheus.Collector
	own       bool // of the Handler itself: those of the first Handler in a Registry are enough
}

func (h *Handler) parts() []part {
	all := []part{{field: "the bus", collector: h.bus}}
	for _, c := range []prometheus.Collector{h.stream, h.refusals, h.actions, h.searches} {
		all = append(all, part{"the live page", c, true})
	}

	for i, c := range h.cfg.Caches {
		all = append(all, part{fmt.Sprintf("Caches[%d]", i), c, false})
	}

	for i, l := range h.cfg.Lockers {
		all = append(all, part{fmt.Sprintf("Lockers[%d]", i), l, false})
	}

	for i, s := range h.cfg.Sessions {
		all = append(all, part{fmt.Sprintf("Sessions[%d]", i), s, false})
	}

	return all
}

// registerOne registers a collector. One that is there already, from the application or from another Handler, is left;
// another one with the same metrics is an error.
func (h *Handler) registerOne(p part) error {
	var there prometheus.AlreadyRegisteredError
	switch err := h.cfg.Registry.Register(p.collector); {
	case err == nil:
	case !errors.As(err, &there):
		return fmt.Errorf("status: register: %w", err)
	case !p.own && reflect.TypeOf(p.collector).Comparable() && there.ExistingCollector != p.collector:
		return fmt.Errorf("%w: Registry: it has another collector with the metrics of %s: use a Registry for each Handler", ErrConfig, p.field)
	}
	return nil
}

// descriptions are all that a collector describes.
func descriptions(c prometheus.Collector) (all []string) {
	ch := make(chan *prometheus.Desc)
	go func() {
		c.Describe(ch)
		close(ch)
	}()
	for d := range ch {
		all = append(all, d.String())
	}
	return all
}

func (h *Handler) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", h.livez)
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.HandleFunc("GET /status", h.private(h.status))
	mux.HandleFunc("GET /events", h.private(h.stream.serve))
	mux.HandleFunc("GET /history", h.private(h.history))
	mux.HandleFunc("GET /pods/{id}", h.private(h.openPod))
	mux.HandleFunc("GET /pods/{id}/history", h.private(h.podHistory))
	mux.HandleFunc("GET /plain", h.private(h.plain))
	mux.HandleFunc("GET /find", h.private(h.findPage))
	mux.HandleFunc("POST /find", h.private(h.findPage))
	mux.HandleFunc("GET /actions", h.private(h.actionsPage))
	mux.HandleFunc("POST /actions/confirm", h.private(h.confirmAction))
	mux.HandleFunc("POST /actions/do", h.private(h.doAction))

	for _, path := range []string{"GET /actions/confirm", "GET /actions/do"} { // a reload of what was sent
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { redirect(w, "../actions") })
	}

	mux.HandleFunc("GET /metrics", h.scrape)
	mux.HandleFunc("GET /{$}", h.page)
	mux.HandleFunc("POST /login", h.login)
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) { redirect(w, "./") }) // a reload after a wrong token
	mux.HandleFunc("POST /logout", h.logout)

	for _, name := range []string{"style.css", "app.js", "icon.svg"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) { h.asset(w, name) })
	}

	return mux
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, h.cfg.Prefix)
	if !ok || rest != "" && rest[0] != '/' {
		http.NotFound(w, r)
		return
	}

	if rest == "" { // the page's own links are relative and need the slash
		seen, _, _ := strings.Cut(r.RequestURI, "?")
		redirect(w, "./"+path.Base(seen)+"/")
		return
	}

	if rest != r.URL.Path {
		// As http.StripPrefix does, but keeping the router's pattern values.
		r2, u := *r, *r.URL
		u.Path, u.RawPath = rest, ""
		r2.URL = &u
		r = &r2
	}

	h.serve.ServeHTTP(w, r)
}

// Drain makes /readyz fail, and ends all live pages, so that http.Server.Shutdown need not wait for them. Call it
// first in a shutdown, early enough for load balancers to notice. It returns when the clients were notified.
func (h *Handler) Drain() { h.stream.end() }

func (h *Handler) draining() bool { return h.stream.ended() }

// private lets only the admitted through.
func (h *Handler) private(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h.gate.admit(r)
		switch {
		case err == nil:
			next(w, r)
		case h.gate.hasToken && r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html"):
			h.refusals.WithLabelValues(reasonOf(err)).Inc()
			redirect(w, h.up(r)) // a person whose login is over: the form is there
		default:
			h.deny(w, err)
		}
	}
}

func (h *Handler) deny(w http.ResponseWriter, err error) {
	h.refusals.WithLabelValues(reasonOf(err)).Inc()
	switch {
	case errors.Is(err, errNoToken), errors.Is(err, errWrongToken):
		w.Header().Set("WWW-Authenticate", `Bearer realm="pgcoherence"`)
		refuse(w, http.StatusUnauthorized, err)
	default:
		refuse(w, http.StatusForbidden, err)
	}
}

func refuse(w http.ResponseWriter, code int, err error) { plainText(w, code, err.Error()+"\n") }

func (h *Handler) scrape(w http.ResponseWriter, r *http.Request) {
	if !h.cfg.PublicMetrics {
		if err := h.gate.admit(r); err != nil {
			h.deny(w, err)
			return
		}
	}
	h.metrics.ServeHTTP(w, r)
}

// page is the live page, or the login form where a token is missing.
func (h *Handler) page(w http.ResponseWriter, r *http.Request) {
	switch err := h.gate.admit(r); {
	case err == nil:
		secure(w)
		h.file(w, http.StatusOK, "page/index.html")
	case h.gate.hasToken:
		h.askToken(w, false)
	default:
		h.deny(w, err)
	}
}

var templates = template.Must(template.New("").Funcs(templateFuncs).ParseFS(pages, "page/head.html", "page/login.html", "page/find.html", "page/actions.html", "page/plain.html"))

// askToken serves the page that asks for the token, after a wrong one or for the first time.
func (h *Handler) askToken(w http.ResponseWriter, wrong bool) {
	h.render(w, http.StatusUnauthorized, "login.html", wrong)
}

// render serves a page that is made for this request.
func (h *Handler) render(w http.ResponseWriter, code int, name string, data any) {
	var page bytes.Buffer
	if err := templates.ExecuteTemplate(&page, name, data); err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	secure(w)
	send(w, code, ".html", page.Bytes())
}

func secure(w http.ResponseWriter) {
	head := w.Header()
	// Nothing inline, nothing from elsewhere, no frame around it.
	head.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("X-Frame-Options", "DENY")
}

// asset is a file of the page; none holds anything of the pod.
func (h *Handler) asset(w http.ResponseWriter, name string) {
	if !h.gate.open() {
		refuse(w, http.StatusForbidden, errClosed)
		return
	}
	h.file(w, http.StatusOK, "page/"+name)
}

func (h *Handler) file(w http.ResponseWriter, code int, name string) {
	content, err := fs.ReadFile(pages, name)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	send(w, code, path.Ext(name), content)
}

func send(w http.ResponseWriter, code int, ext string, content []byte) {
	head := w.Header()
	head.Set("Content-Type", mime.TypeByExtension(ext))
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	w.WriteHeader(code)
	_, _ = w.Write(content) // the client may be gone
}
