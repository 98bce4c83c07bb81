package status

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// ActionKind is the kind of an action on the page.
type ActionKind string

// The kinds of actions.
const (
	ActionInvalidateKey   ActionKind = "invalidate-key"   // Topic and Subject: a key of a topic, on all pods
	ActionInvalidateTopic ActionKind = "invalidate-topic" // Topic: all of it, on all pods
	ActionRevokeSession   ActionKind = "revoke-session"   // Subject: the public id of a session
	ActionRevokeUser      ActionKind = "revoke-user"      // Subject: the user whose sessions are ended
	ActionReleaseLease    ActionKind = "release-lease"    // Subject: the key of a lease, which is taken from its owner
)

// Action is an action that was executed or failed, for Config.OnAction.
type Action struct {
	Kind    ActionKind
	Topic   string
	Subject string // in plain text: do not write keys to logs
	By      string // the name that the client gave
	Remote  string // the client's address
	At      time.Time
	Err     error // nil on success
}

// Further methods that the parts of a Config may have; those of this module do.
type (
	sessionRevoker interface {
		sessionInspector
		RevokeByID(ctx context.Context, user string, id uuid.UUID) (bus.Receipt, error)
		RevokeUser(ctx context.Context, user string) (bus.Receipt, error)
	}
	leaseStealer interface {
		leaseInspector
		Steal(ctx context.Context, key string) (*lock.Lease, error)
	}
)

const (
	actionTimeout  = 10 * time.Second
	confirmTimeout = 6 * time.Second // a pod lease, and a bit
	maxBy          = 100
)

// actionForm is what a form of the page sends.
type actionForm struct {
	Kind               ActionKind
	Topic, Subject, By string
}

func formOf(r *http.Request) actionForm {
	f := actionForm{
		Kind: ActionKind(r.PostFormValue("kind")), Topic: r.PostFormValue("topic"), Subject: r.PostFormValue("subject"),
		By: strings.TrimSpace(r.PostFormValue("by")),
	}
	if f.Kind == ActionRevokeSession {
		f.Subject = strings.TrimSpace(f.Subject)
	}
	if f.Kind == ActionInvalidateTopic {
		f.Subject = ""
	}
	return f
}

// check returns what is wrong with a form, for people.
func (h *Handler) check(f actionForm) string {
	switch f.Kind {
	case ActionInvalidateKey, ActionInvalidateTopic:
		switch {
		case f.Topic == "":
			return "Name the topic."
		case f.Kind == ActionInvalidateKey && f.Subject == "":
			return "Name the key."
		}
	case ActionRevokeSession:
		switch {
		case h.revoker() == nil:
			return "This pod has no session store."
		case uuid.Validate(f.Subject) != nil:
			return "This is no id of a session. Tokens cannot be used here."
		}
	case ActionRevokeUser:
		if h.revoker() == nil {
			return "This pod has no session store."
		}
	case ActionReleaseLease:
		if h.stealer() == nil {
			return "This pod has no locker."
		}
	default:
		return "There is no such action."
	}

	switch {
	case f.Subject == "" && f.Kind != ActionInvalidateTopic:
		return "Say whom or what it is about."
	case f.By == "":
		return "Say who you are, for the audit."
	case len(f.By) > maxBy || !utf8.ValidString(f.By):
		return "This name is too long."
	case len(f.Subject) > maxFindText || len(f.Topic) > 200:
		return "This is longer than it can be."
	}

	return ""
}

func (h *Handler) revoker() sessionRevoker {
	for _, s := range h.cfg.Sessions {
		if r, ok := s.(sessionRevoker); ok {
			return r
		}
	}
	return nil
}

func (h *Handler) stealer() leaseStealer {
	for _, l := range h.cfg.Lockers {
		if s, ok := l.(leaseStealer); ok {
			return s
		}
	}
	return nil
}

// describe says what an action will do, as the person who is to confirm it reads it.
func (h *Handler) describe(ctx context.Context, f actionForm) string {
	switch f.Kind {
	case ActionInvalidateKey:
		return fmt.Sprintf("All pods drop what they hold of the key %q of %q, and load it again when it is read.", f.Subject, f.Topic)
	case ActionInvalidateTopic:
		return fmt.Sprintf("All pods drop everything that they hold of %q. The database gets all the reads until the caches are full again.", f.Topic)
	case ActionRevokeUser:
		return fmt.Sprintf("All sessions of the user %q end, on all pods.", f.Subject)
	case ActionRevokeSession:
		id, _ := uuid.Parse(f.Subject) // it was checked
		i, err := h.revoker().Inspect(ctx, id)
		if err != nil {
			return fmt.Sprintf("The session %s ends. It was not found just now: %v.", f.Subject, err)
		}
		return fmt.Sprintf("The session %s of the user %q ends, on all pods. It began %s ago.", f.Subject, i.User, time.Since(i.CreatedAt).Round(time.Second))
	case ActionReleaseLease:
		info, err := h.stealer().Inspect(ctx, f.Subject)
		switch {
		case err != nil:
			return fmt.Sprintf("The lease %q is taken from its holder and released. Who has it is not known just now: %v.", f.Subject, err)
		case !info.Held:
			return fmt.Sprintf("The lease %q is free just now. If somebody takes it before you confirm, it is taken away again.", f.Subject)
		}

		return fmt.Sprintf("The lease %q is taken from %s, who has it since %s, and released; %d wait for it. Work that its holder does outside of the database goes on until it notices.",
			f.Subject, info.Owner, info.Since.Round(time.Second), info.Waiters)
	}
	return ""
}

// act does it, and returns what to tell the person.
func (h *Handler) act(ctx context.Context, f actionForm) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()

	var receipt bus.Receipt
	var err error
	switch f.Kind {
	case ActionInvalidateKey:
		receipt, err = h.bus.Publish(ctx, bus.Event{Topic: f.Topic, Keys: []string{f.Subject}})
	case ActionInvalidateTopic:
		receipt, err = h.bus.Publish(ctx, bus.Event{Topic: f.Topic, All: true})
	case ActionRevokeUser:
		receipt, err = h.revoker().RevokeUser(sessionstore.WithActor(ctx, f.By), f.Subject)
	case ActionRevokeSession:
		receipt, err = h.revokeSession(sessionstore.WithActor(ctx, f.By), f.Subject)
	case ActionReleaseLease:
		lease, stealErr := h.stealer().Steal(ctx, f.Subject)
		if stealErr != nil {
			return "", stealErr
		}
		return "The lease is released.", lease.Release(ctx)
	default:
		return "", errors.New("there is no such action")
	}

	if err != nil {
		return "", err
	}

	return h.confirmed(ctx, receipt), nil
}

func (h *Handler) revokeSession(ctx context.Context, text string) (bus.Receipt, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return bus.Receipt{}, err
	}
	i, err := h.revoker().Inspect(ctx, id)
	if err != nil {
		return bus.Receipt{}, err
	}
	return h.revoker().RevokeByID(ctx, i.User, id)
}

// confirmed waits for all pods, and says how that went.
func (h *Handler) confirmed(ctx context.Context, receipt bus.Receipt) string {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	begin := time.Now()
	if err := h.bus.Confirm(ctx, receipt); err != nil {
		return "Done. The pods have not confirmed it yet: " + err.Error()
	}
	return fmt.Sprintf("Done, and confirmed by all pods after %v.", time.Since(begin).Round(time.Millisecond))
}

// audit writes an action down: in the log with a code in place of what it is about, and to the application's function.
func (h *Handler) audit(r *http.Request, f actionForm, err error) {
	result := "done"
	if err != nil {
		result = "failed"
	}

	h.actions.WithLabelValues(string(f.Kind), result).Inc()

	attributes := []any{
		slog.String("action", string(f.Kind)), slog.String("topic", f.Topic), slog.String("by", f.By), slog.String("remote", r.RemoteAddr),
		slog.String("result", result),
	}
	if f.Subject != "" {
		attributes = append(attributes, slog.String("key_code", h.codeOf(target{kindOf(f.Kind), f.Topic, f.Subject})))
	}
	if err != nil {
		attributes = append(attributes, slog.String("error", strings.ReplaceAll(err.Error(), f.Subject, "…")))
	}

	h.cfg.Logger.WarnContext(r.Context(), "status: action", attributes...)

	if h.cfg.OnAction == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			h.cfg.Logger.ErrorContext(r.Context(), "status: OnAction panicked", slog.String("panic", fmt.Sprint(v)))
		}
	}()

	h.cfg.OnAction(r.Context(), Action{
		Kind: f.Kind, Topic: f.Topic, Subject: f.Subject, By: f.By, Remote: r.RemoteAddr, At: time.Now(), Err: err,
	})
}

// kindOf makes a key's code the same in searches and in actions.
func kindOf(k ActionKind) string {
	switch k {
	case ActionInvalidateKey:
		return kindKey
	case ActionRevokeSession:
		return kindSession
	case ActionReleaseLease:
		return kindLease
	}
	return string(k)
}

var actionKinds = []ActionKind{ActionInvalidateKey, ActionInvalidateTopic, ActionRevokeSession, ActionRevokeUser, ActionReleaseLease}

// possible are the actions that the parts of the Config allow.
func (h *Handler) possible() []ActionKind {
	return slices.DeleteFunc(slices.Clone(actionKinds), func(k ActionKind) bool {
		switch k {
		case ActionRevokeSession, ActionRevokeUser:
			return h.revoker() == nil
		case ActionReleaseLease:
			return h.stealer() == nil
		}
		return false
	})
}
