package main

import (
	_ "embed"
	"errors"
	"html/template"
	"net/http"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

//go:embed page.html
var pageHTML string

//go:embed live.js
var liveJS []byte

// pageTemplate is parsed once; it is not changed after that.
var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// page is what the one page of the application shows.
type page struct {
	Pod     string
	Session *sessionstore.Session[visitor] // nil: not logged in
	Devices []device
}

func (p *pod) getPage(w http.ResponseWriter, r *http.Request) {
	view := page{Pod: p.name}
	var err error
	view.Session, err = p.session(w, r)
	switch {
	case errors.Is(err, sessionstore.ErrNoSession):
		view.Session, err = nil, nil
	case err == nil:
		view.Devices, err = p.devices(r.Context(), view.Session)
	}
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = pageTemplate.Execute(w, view) // if the browser is gone there is nobody to tell
}

func getScript(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	_, _ = w.Write(liveJS) // as above
}
