package status

import (
	"context"
	"encoding/json"
	"fmt"
)

// question is what one pod's page asks another pod. Fields are added, never changed: pods of several versions run at
// once, and one that does not know what is wanted says so.
type question struct {
	Want string  `json:"want"`
	Find *target `json:"find,omitempty"`
}

// What a question can want.
const (
	wantUpdate  = "update"
	wantHistory = "history"
	wantFind    = "find"
)

// reply is what comes back. Error is for people.
type reply struct {
	Update  *update  `json:"update,omitempty"`
	History *history `json:"history,omitempty"`
	Find    *holding `json:"find,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// maxReply is how long a reply may be; the table refuses what is more than a MiB.
const maxReply = 1 << 20

// answer replies to a question of another pod.
func (h *Handler) answer(ctx context.Context, text string) string {
	encoded, err := json.Marshal(h.replyTo(ctx, text))
	if err != nil || len(encoded) > maxReply {
		encoded, _ = json.Marshal(reply{Error: fmt.Sprintf("the reply of %d bytes is too long to be sent", len(encoded))}) // it can be encoded
	}
	return string(encoded)
}

func (h *Handler) replyTo(ctx context.Context, text string) (r reply) {
	defer func() {
		if v := recover(); v != nil { // what it calls may be the application's: a Sessions, a Cache
			r = reply{Error: fmt.Sprintf("the pod could not reply: %v", v)}
		}
	}()

	var q question
	if err := json.Unmarshal([]byte(text), &q); err != nil {
		return reply{Error: "the pod does not understand the question; it may be of another version"}
	}

	switch q.Want {
	case wantUpdate:
		u := h.tracker.next(h.report(h.probe.tiersOnly(ctx)), h.bus.Delays())
		return reply{Update: &u}
	case wantHistory:
		past := h.tracker.history()
		return reply{History: &past}
	case wantFind:
		if q.Find != nil {
			found := h.find(ctx, *q.Find)
			return reply{Find: &found}
		}
	}

	return reply{Error: "the pod does not know this question; it may be of another version"}
}

// ask puts a question to pods. Of each that has replied the result has a reply.
func (h *Handler) ask(ctx context.Context, q question, pods []string) (map[string]reply, error) {
	others := h.correspondent()
	if others == nil {
		return nil, errAlone
	}

	text, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}

	texts, err := others.Ask(ctx, string(text), pods)
	replies := make(map[string]reply, len(texts))
	for pod, text := range texts {
		var r reply
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			r = reply{Error: "the reply cannot be read; the pod may be of another version"}
		}
		replies[pod] = r
	}

	return replies, err
}
