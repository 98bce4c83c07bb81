package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strings"

	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/httpsession"
)

//go:embed web
var webFiles embed.FS

// pages are parsed once and not changed after that.
var pages = template.Must(template.ParseFS(webFiles, "web/page.html"))

// page is what the templates show.
type page struct {
	Pod, Title string
	Status     int
	Notice     string // of something that was done
	Wrong      string // of something that was not
	Name       string // in the login form
	Session    *sessionstore.Session[visitor]
	Devices    []device
}

// home shows the login to strangers, and the account to members.
func (p *pod) home(w http.ResponseWriter, r *http.Request) error {
	s, err := p.sessions.Get(r)
	if errors.Is(err, sessionstore.ErrNoSession) {
		return p.show(w, "login", page{Title: "Log in", Notice: goodbyes[r.URL.Query().Get("bye")]})
	}
	if err != nil {
		return err
	}
	devices, err := p.devices(r.Context(), s)
	if err != nil {
		return err
	}

	if s.Data.Notice != "" { // shown once
		if _, err := p.sessions.Update(w, r, func(v *visitor) error {
			v.Notice = ""
			return nil
		}); err != nil {
			return err
		}
	}
	return p.show(w, "account", page{Title: "Your account", Session: s, Devices: devices, Notice: s.Data.Notice})
}

// goodbyes are what the login page says to those who have just left.
var goodbyes = map[string]string{
	"out": "You are logged out.", "everywhere": "You are logged out everywhere.",
}

func (p *pod) askEverywhere(w http.ResponseWriter, r *http.Request) error {
	s, err := p.sessions.Get(r)
	if err != nil {
		return err
	}
	devices, err := p.devices(r.Context(), s)
	if err != nil {
		return err
	}
	return p.show(w, "confirm", page{Title: "Log out everywhere", Session: s, Devices: devices})
}

func (p *pod) show(w http.ResponseWriter, name string, view page) error {
	view.Pod = p.name
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, name, view); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if view.Status != 0 {
		w.WriteHeader(view.Status)
	}
	_, _ = body.WriteTo(w) // an error means that the browser is gone
	return nil
}

// showProblem is the Config.Error of httpsession, and the way for the application's own errors: a page for people, a line
// for programs.
func (p *pod) showProblem(w http.ResponseWriter, r *http.Request, problem httpsession.Problem) {
	view := page{Title: http.StatusText(problem.Status), Status: problem.Status}
	view.Wrong = strings.ToUpper(problem.Message[:1]) + problem.Message[1:] + "."
	template := "problem"
	switch {
	case !strings.Contains(r.Header.Get("Accept"), "text/html"):
		http.Error(w, problem.Message, problem.Status)
		return
	case r.Method == http.MethodPost && r.URL.Path == "/login":
		template, view.Title, view.Name = "login", "Log in", r.PostFormValue("name")
	}
	if err := p.show(w, template, view); err != nil {
		p.log.ErrorContext(r.Context(), "page not rendered", slog.Any("error", err))
	}
}

// device is a session in the list of its user.
type device struct {
	sessionstore.Info
	Current bool `json:"current"`
}

func (p *pod) devices(ctx context.Context, s *sessionstore.Session[visitor]) ([]device, error) {
	list, err := p.store.List(ctx, s.User)
	all := make([]device, len(list))
	for i, info := range list {
		all[i] = device{info, info.ID == s.ID}
	}
	return all, err
}

// Name is what people call a browser.
func (d device) Name() string {
	agent := d.Device.UserAgent
	first := func(names ...string) string {
		for _, name := range names {
			token, called, _ := strings.Cut(name, "=")
			if strings.Contains(agent, token) {
				return called
			}
		}
		return ""
	}
	browser := first("Firefox/=Firefox", "Edg/=Edge", "OPR/=Opera", "Chrome/=Chrome", "Safari/=Safari")
	system := first("Android=Android", "iPhone=iPhone", "iPad=iPad", "Windows=Windows", "Mac OS X=Mac", "Linux=Linux")
	if browser == "" || system == "" {
		return agent
	}

	return browser + " on " + system
}
