package main

import (
	"bytes"
	"embed"
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

func (p *pod) show(w http.ResponseWriter, r *http.Request, name string, view page) {
	view.Pod = p.name
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, name, view); err != nil {
		p.log.ErrorContext(r.Context(), "page not rendered", slog.Any("error", err))
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if view.Status != 0 {
		w.WriteHeader(view.Status)
	}
	_, _ = body.WriteTo(w) // an error means that the browser is gone
}

// showProblem is the Config.Error of httpsession, and the way for the application's own errors: a page for people, a line
// for programs.
func (p *pod) showProblem(w http.ResponseWriter, r *http.Request, problem httpsession.Problem) {
	message := strings.ToUpper(problem.Message[:1]) + problem.Message[1:] + "."
	switch {
	case !strings.Contains(r.Header.Get("Accept"), "text/html"):
		http.Error(w, problem.Message, problem.Status)
	case r.Method == http.MethodPost && r.URL.Path == "/login":
		p.show(w, r, "login", page{Title: "Log in", Status: problem.Status, Wrong: message, Name: r.PostFormValue("name")})
	default:
		p.show(w, r, "problem", page{Title: http.StatusText(problem.Status), Status: problem.Status, Wrong: message})
	}
}
