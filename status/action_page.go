package status

import (
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
)

// actionPage is what actions.html shows: the forms, what is to be confirmed, or what came of it.
type actionPage struct {
	Possible []actionChoice
	Topics   []string
	Asks     bool // for the token of actions

	Root    string // leads to the live page
	Title   string // of the action in Form
	Form    actionForm
	Confirm string // what will be done
	Done    string
	Error   string
}

type actionChoice struct {
	Kind                    ActionKind
	Title, Subject, Example string
	Topic                   bool
}

var choices = map[ActionKind]actionChoice{
	ActionInvalidateKey:   {Title: "Invalidate a key", Subject: "Key", Topic: true},
	ActionInvalidateTopic: {Title: "Invalidate a whole topic", Topic: true},
	ActionRevokeSession:   {Title: "End a session", Subject: "Id of the session"},
	ActionRevokeUser:      {Title: "End all sessions of a user", Subject: "User"},
	ActionReleaseLease:    {Title: "Release a lease", Subject: "Key of the lease"},
}

// actsAtAll reports whether actions are switched on.
func (h *Handler) actsAtAll() bool { return h.cfg.ActionToken != "" || h.cfg.AuthorizeAction != nil }

// actionsPage serves the forms. They only lead to the page that asks for a confirmation.
func (h *Handler) actionsPage(w http.ResponseWriter, r *http.Request) {
	h.showActions(w, r, http.StatusOK, actionPage{})
}

func (h *Handler) showActions(w http.ResponseWriter, r *http.Request, code int, page actionPage) {
	page.Root, page.Title = h.up(r), choices[page.Form.Kind].Title
	page.Topics, page.Asks = h.topics(), h.cfg.ActionToken != ""
	if h.actsAtAll() {
		for _, k := range h.possible() {
			choice := choices[k]
			choice.Kind = k
			page.Possible = append(page.Possible, choice)
		}
	}
	h.render(w, code, "actions.html", page)
}

// confirmAction says what would be done, and asks for the permission.
func (h *Handler) confirmAction(w http.ResponseWriter, r *http.Request) {
	f, ok := h.readAction(w, r)
	if ok {
		h.showActions(w, r, http.StatusOK, actionPage{Form: f, Confirm: h.describe(r.Context(), f)})
	}
}

// doAction does it. The permission comes with this very request and is kept nowhere: what another site makes a browser
// send has none, besides being refused for where it comes from.
func (h *Handler) doAction(w http.ResponseWriter, r *http.Request) {
	f, ok := h.readAction(w, r)
	if !ok {
		return
	}
	if err := h.mayAct(r); err != nil {
		h.refusals.WithLabelValues("action").Inc()
		h.cfg.Logger.WarnContext(r.Context(), "status: action refused", slog.String("action", string(f.Kind)), slog.String("by", f.By),
			slog.String("remote", r.RemoteAddr), slog.Any("error", err))
		h.showActions(w, r, http.StatusForbidden, actionPage{Form: f, Confirm: h.describe(r.Context(), f), Error: sentenceOf(err)})
		return
	}

	done, err := h.act(r.Context(), f)
	h.audit(r, f, err)
	if err != nil {
		h.showActions(w, r, http.StatusBadGateway, actionPage{Form: f, Error: "It was not done: " + err.Error()})
		return
	}
	h.showActions(w, r, http.StatusOK, actionPage{Form: f, Done: done})
}

// readAction reads a form, and responds itself if it makes no sense.
func (h *Handler) readAction(w http.ResponseWriter, r *http.Request) (f actionForm, ok bool) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if !h.actsAtAll() {
		h.showActions(w, r, http.StatusForbidden, actionPage{})
		return f, false
	}
	f = formOf(r)
	if wrong := h.check(f); wrong != "" {
		h.showActions(w, r, http.StatusBadRequest, actionPage{Form: f, Error: wrong})
		return f, false
	}
	return f, true
}

var (
	errWrongActionToken = errors.New("this is not the token of actions")
	errActionNotAllowed = errors.New("you may not do this")
)

// mayAct returns nil if the sender of the request may act.
func (h *Handler) mayAct(r *http.Request) error {
	if h.cfg.ActionToken != "" {
		given, want := sha256.Sum256([]byte(r.PostFormValue("action_token"))), sha256.Sum256([]byte(h.cfg.ActionToken))
		if !sameToken(given, want) {
			return errWrongActionToken
		}
	}
	if h.cfg.AuthorizeAction != nil {
		if err := h.cfg.AuthorizeAction(r); err != nil {
			h.cfg.Logger.WarnContext(r.Context(), "status: action not authorized", slog.Any("error", err))
			return errActionNotAllowed
		}
	}
	return nil
}

func sentenceOf(err error) string {
	text := err.Error()
	return string(text[0]-'a'+'A') + text[1:] + "."
}
