package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/httpsession"
	"github.com/pgcoherence/pgcoherence/sessionstore/oidclogin"
	"github.com/pgcoherence/pgcoherence/status"
)

//go:embed page
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "page/*.html"))

// app is one pod.
type app struct {
	settings *settings
	backend  *backend
	store    *store
	sessions *httpsession.Manager[visit]
	provider *oidclogin.Client // nil: passwords only
	status   *status.Handler

	draining context.Context // ends when the pod does
	drain    context.CancelFunc
	nobody   []byte // the hash that passwords of unknown names are compared with
}

func newApp(s *settings, b *backend) (*app, error) {
	a := &app{settings: s, backend: b}
	a.draining, a.drain = context.WithCancel(context.Background())
	var err error
	if a.store, err = newStore(b); err != nil {
		return nil, err
	}
	if a.sessions, err = httpsession.New(b.sessions, &httpsession.Config{Insecure: s.insecure, Error: a.showProblem}); err != nil {
		return nil, err
	}

	if s.oidcIssuer != "" {
		a.provider, err = oidclogin.New(b.sessions, &oidclogin.Config{
			Issuer: s.oidcIssuer, ClientID: s.oidcClient, ClientSecret: s.oidcSecret, RedirectURL: s.oidcRedirect, Insecure: s.insecure,
			Scopes: []string{"profile"}, Users: ssoUsers,
		})
		if err != nil {
			return nil, err
		}
	}
	if a.nobody, err = bcrypt.GenerateFromPassword([]byte("nobody has this password"), bcryptCost); err != nil {
		return nil, err
	}

	cfg := b.status
	cfg.Name, cfg.Version, cfg.Token, cfg.Prefix, cfg.PublicMetrics = s.bus.Config.Name, s.bus.Config.Version, s.adminToken, "/_status", true
	cfg.Caches = []status.Cache{a.store.accounts, a.store.settings}
	statusBus, ok := b.bus.(status.Bus)
	if !ok {
		return nil, errors.New("notes: the bus has no statistics")
	}
	a.status, err = status.New(statusBus, &cfg)
	return a, err
}

func (a *app) close() error {
	a.drain()
	return errors.Join(a.store.close(), a.backend.close())
}

// bcryptCost is low so that the demo is quick on a small machine.
const bcryptCost = bcrypt.MinCost + 2

func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) { a.showLogin(w, r, http.StatusOK, "") })
	mux.HandleFunc("POST /login", a.form(a.login))
	mux.HandleFunc("POST /signup", a.form(a.signup))
	mux.HandleFunc("POST /logout", a.form(a.logout))
	if a.provider != nil {
		mux.HandleFunc("POST /login/sso", a.startSSO)
		mux.HandleFunc("GET /login/sso/callback", a.form(a.finishSSO))
	}

	mux.HandleFunc("GET /{$}", a.notes)
	mux.Handle("GET /api/me", a.sessions.Require(http.HandlerFunc(a.me)))
	mux.Handle("GET /api/events", a.sessions.Require(http.HandlerFunc(a.events)))
	mux.Handle("POST /notes", a.sessions.Require(a.form(a.addNote)))
	mux.Handle("POST /notes/{id}/delete", a.sessions.Require(a.form(a.deleteNote)))
	mux.Handle("POST /notes/{id}/attachments", a.sessions.Require(a.form(a.attach)))
	mux.Handle("GET /notes/{id}/attachments/{name}", a.sessions.Require(http.HandlerFunc(a.attachment)))
	mux.Handle("POST /settings", a.sessions.Require(a.form(a.changeSettings)))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { a.fail(w, r, cache.ErrNotFound) })
	for _, name := range []string{"style.css", "icon.svg"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, pageFiles, "page/"+name) })
	}

	outer := http.NewServeMux()
	outer.Handle("/_status/", a.status)
	if a.provider != nil {
		outer.Handle("POST /login/sso/logout", a.provider.BackChannelLogout()) // the provider's, which is no browser
	}
	outer.Handle("/", a.sessions.Handler(headers(mux)))
	return outer
}

// headers keep pages from being framed, sniffed, or running anything.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// problem is an error with what the user may read of it.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

func (a *app) fail(w http.ResponseWriter, r *http.Request, err error) {
	var p *problem
	switch {
	case errors.As(err, &p):
		a.showProblem(w, r, httpsession.Problem{Status: p.status, Message: p.text})
	case errors.Is(err, cache.ErrNotFound), errors.Is(err, sql.ErrNoRows):
		a.showProblem(w, r, httpsession.Problem{Status: http.StatusNotFound, Message: "There is nothing here."})
	case errors.Is(err, errTooMany):
		a.showProblem(w, r, httpsession.Problem{Status: http.StatusConflict, Message: "A note has at most ten attachments."})
	default:
		a.sessions.Error(w, r, err)
	}
}

// showProblem is a sentence for programs, the form again for those who log in, and a page with a way back for all others.
func (a *app) showProblem(w http.ResponseWriter, r *http.Request, p httpsession.Problem) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/"):
		http.Error(w, p.Message, p.Status)
	case r.URL.Path == "/login", r.URL.Path == "/signup":
		a.showLogin(w, r, p.Status, p.Message)
	default:
		show(w, r, p.Status, "problem.html", map[string]any{"Message": p.Message, "Login": p.Status == http.StatusUnauthorized})
	}
}

// showLogin is the page with both forms, and what was wrong with the one that was sent.
func (a *app) showLogin(w http.ResponseWriter, r *http.Request, status int, message string) {
	show(w, r, status, "login.html", map[string]any{
		"SSO": a.provider != nil, "Problem": message, "Signup": r.URL.Path == "/signup", "Name": r.PostFormValue("name"),
	})
}

// show renders a page.
func show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, name, data); err != nil {
		slog.WarnContext(r.Context(), "page not written", slog.String("page", name), slog.Any("error", err))
	}
}

// form runs what a form asks for and goes back to the notes.
func (a *app) form(do func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 2<<20)
		if err := do(w, r); err != nil {
			a.fail(w, r, err)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

func (a *app) login(w http.ResponseWriter, r *http.Request) error {
	name := r.FormValue("name")
	login, err := a.backend.sessions.BeginLogin(r.Context(), name) // before the password is looked at
	if err != nil {
		return err
	}

	found, err := a.store.accounts.Get(r.Context(), name)
	if err != nil && !errors.Is(err, cache.ErrNotFound) {
		return err
	}

	hash := []byte(found.Password)
	if len(hash) == 0 {
		hash = a.nobody // as much work for a name that is not there
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(r.FormValue("password"))) != nil || found.Password == "" {
		return &problem{http.StatusUnauthorized, "Wrong name or password."}
	}

	_, err = a.sessions.Login(w, r, login, visit{Name: name}, &httpsession.LoginOptions{Persist: true})
	return err
}

func (a *app) signup(w http.ResponseWriter, r *http.Request) error {
	name, password := strings.TrimSpace(r.FormValue("name")), r.FormValue("password")
	if name == "" || len(name) > 60 || len(password) < 8 || len(password) > 70 || strings.HasPrefix(name, ssoPrefix) {
		return &problem{http.StatusBadRequest, "A name has up to 60 characters, a password 8 to 70."}
	}

	login, err := a.backend.sessions.BeginLogin(r.Context(), name)
	if err != nil {
		return err
	}

	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcryptCost)
	if err != nil {
		return err
	}

	added, err := a.store.addAccount(r.Context(), account{name, string(hash)})
	switch {
	case err != nil:
		return err
	case !added:
		return &problem{http.StatusConflict, "This name is taken."}
	}

	_, err = a.sessions.Login(w, r, login, visit{Name: name}, &httpsession.LoginOptions{Persist: true})
	return err
}

// ssoPrefix begins the names of accounts of the identity provider. No user can choose such a name.
const ssoPrefix = "sso-"

// ssoUsers returns the account of a subject of the identity provider, which is the same on every pod and for ever.
func ssoUsers(_ context.Context, issuer, subject string) ([]string, error) {
	sum := sha256.Sum256([]byte(issuer + "\x00" + subject))
	return []string{ssoPrefix + hex.EncodeToString(sum[:8])}, nil
}

// startSSO sends the browser to the identity provider, by a page and not by a redirect: browsers apply form-action of the
// page with the button to every redirect that follows, and where the provider sends on to is not known here.
func (a *app) startSSO(w http.ResponseWriter, r *http.Request) {
	address, err := a.provider.Begin(w, r, nil)
	if err != nil {
		code, message := oidclogin.Describe(err)
		a.showProblem(w, r, httpsession.Problem{Status: code, Message: message})
		return
	}
	w.Header().Set("Refresh", "0;url="+address)
	show(w, r, http.StatusOK, "leaving.html", address)
}

// finishSSO is where the provider sends the browser back to, on whatever pod. An account at the provider is one here.
func (a *app) finishSSO(w http.ResponseWriter, r *http.Request) error {
	id, err := a.provider.Finish(w, r)
	if err != nil {
		code, message := oidclogin.Describe(err)
		return &problem{code, message}
	}

	users, err := ssoUsers(r.Context(), id.Issuer, id.Subject)
	if err != nil {
		return err
	}
	name := users[0]
	login, err := a.backend.sessions.BeginLogin(r.Context(), name)
	if err != nil {
		return err
	}
	if _, err := a.store.addAccount(r.Context(), account{Name: name}); err != nil {
		return err
	}

	shown := visit{Name: name}
	var claims struct{ Name string }
	if err := id.Claims(&claims); err == nil && claims.Name != "" {
		shown.Name = claims.Name
	}
	_, err = a.sessions.Login(w, r, login, shown, &httpsession.LoginOptions{CreateOptions: id.CreateOptions()})
	return err
}

func (a *app) logout(w http.ResponseWriter, r *http.Request) error {
	end := a.sessions.Logout
	if r.FormValue("everywhere") != "" {
		end = a.sessions.LogoutEverywhere
	}
	receipt, err := end(w, r)
	if err != nil {
		return err
	}
	_, err = a.backend.bus.ConfirmWithin(r.Context(), receipt, time.Second) // no pod lets the old cookie in, as a rule
	return err
}

// notes is the only page with contents. Who is not logged in is sent to log in.
func (a *app) notes(w http.ResponseWriter, r *http.Request) {
	session, err := a.sessions.Get(r)
	if errors.Is(err, sessionstore.ErrNoSession) || err == nil && session.User == "" {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}

	if err != nil {
		a.fail(w, r, err)
		return
	}

	chosen, err := a.store.settings.Get(r.Context(), session.User)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	list, err := a.store.notes(r.Context(), session.User)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	show(w, r, http.StatusOK, "notes.html", map[string]any{
		"Name": cmp.Or(session.Data.Name, session.User), "Theme": chosen.Theme, "Notes": list, "Pod": a.settings.bus.Config.Name,
	})
}

// me is what a program reads: the user and the settings, from memory.
func (a *app) me(w http.ResponseWriter, r *http.Request) {
	session, err := a.sessions.Get(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}

	chosen, err := a.store.settings.Get(r.Context(), session.User)
	if err != nil {
		a.fail(w, r, err)
		return
	}

	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"user": session.User, "theme": chosen.Theme, "changes": chosen.Changes, "pod": a.settings.bus.Config.Name,
	})
}

// events is a stream that ends with the session, and with the pod: then the client is asked to come back at once, to
// another one.
func (a *app) events(w http.ResponseWriter, r *http.Request) {
	ctx, cancel, err := a.sessions.Bind(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}

	defer cancel()

	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "event: hello\ndata: {}\n\n")
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()

	for {
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
			fmt.Fprint(w, ": alive\n\n")
		case <-a.draining.Done():
			fmt.Fprint(w, "retry: 100\nevent: goodbye\ndata: {\"reason\":\"this pod ends\"}\n\n")
			return
		case <-ctx.Done():
			fmt.Fprint(w, "event: ended\ndata: {\"reason\":\"logged out\"}\n\n")
			return
		}
	}
}

func (a *app) user(r *http.Request) (string, error) {
	session, err := a.sessions.Get(r)
	if err != nil {
		return "", err
	}
	return session.User, nil
}

func (a *app) addNote(_ http.ResponseWriter, r *http.Request) error {
	user, err := a.user(r)
	if err != nil {
		return err
	}
	body := strings.TrimSpace(r.FormValue("body"))
	if body == "" || len(body) > 20_000 {
		return &problem{http.StatusBadRequest, "A note has 1 to 20,000 characters."}
	}
	return a.store.addNote(r.Context(), user, body)
}

func (a *app) deleteNote(_ http.ResponseWriter, r *http.Request) error {
	user, err := a.user(r)
	if err != nil {
		return err
	}
	return a.store.deleteNote(r.Context(), user, r.PathValue("id"))
}

func (a *app) attach(_ http.ResponseWriter, r *http.Request) error {
	user, err := a.user(r)
	if err != nil {
		return err
	}

	file, header, err := r.FormFile("file")
	if err != nil {
		return &problem{http.StatusBadRequest, "Choose a file of at most a megabyte."}
	}
	defer file.Close()

	data, err := io.ReadAll(io.LimitReader(file, 1<<20+1))
	if err != nil || len(data) > 1<<20 {
		return &problem{http.StatusRequestEntityTooLarge, "An attachment has at most a megabyte."}
	}

	return a.store.attach(r.Context(), user, r.PathValue("id"), header.Filename, data)
}

func (a *app) attachment(w http.ResponseWriter, r *http.Request) {
	user, err := a.user(r)
	var data []byte
	if err == nil {
		data, err = a.store.attachment(r.Context(), user, r.PathValue("id"), r.PathValue("name"))
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", "attachment; filename*=UTF-8''"+url.PathEscape(r.PathValue("name")))
	_, _ = w.Write(data)
}

func (a *app) changeSettings(_ http.ResponseWriter, r *http.Request) error {
	user, err := a.user(r)
	if err != nil {
		return err
	}
	switch theme := r.FormValue("theme"); theme {
	case "auto", "light", "dark":
		return a.store.setTheme(r.Context(), user, theme)
	}
	return &problem{http.StatusBadRequest, "A theme is auto, light or dark."}
}
