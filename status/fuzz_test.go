package status_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/pgcoherence/pgcoherence/status"
)

// FuzzForm posts any form to every page, with the page's token and without that for actions: the handler replies, does
// nothing, and shows no token.
func FuzzForm(f *testing.F) {
	done := 0
	const actionToken = "a token for actions, long enough"
	h, err := status.New(newFakeBus(), &status.Config{
		Token: token, ActionToken: actionToken, Logger: quiet, OnAction: func(context.Context, status.Action) { done++ },
	})
	if err != nil {
		f.Fatal(err)
	}

	paths := []string{"/actions/do", "/actions/confirm", "/find", "/login", "/logout", "/"}
	for _, form := range []string{
		"", "kind=invalidate-key&topic=users&subject=1&by=me", "kind=revoke-user&subject=%00&by=", "kind=%ff&token=x&action_token=y",
		"action_token=" + url.QueryEscape(strings.Repeat("x", 5000)), "a;b=c&&&=", "kind=find&topic=users&key=%zz",
	} {
		for i := range paths {
			f.Add(uint8(i), form)
		}
	}

	f.Fuzz(func(t *testing.T, which uint8, form string) {
		if strings.Contains(form, url.QueryEscape(actionToken)) {
			return
		}

		r := httptest.NewRequest(http.MethodPost, "https://example.com"+paths[int(which)%len(paths)], strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)

		switch {
		case w.Code >= http.StatusInternalServerError && w.Code != http.StatusServiceUnavailable:
			t.Fatalf("%q: %d %s", form, w.Code, w.Body)
		case done > 0:
			t.Fatalf("%q has done something", form)
		case strings.Contains(w.Body.String(), token), strings.Contains(w.Body.String(), actionToken):
			t.Fatalf("%q: a token is shown", form)
		}
	})
}

// FuzzQuestion puts any question to a pod, as a row in a table of questions may: the reply can be read.
func FuzzQuestion(f *testing.F) {
	h, err := status.New(newFakeBus(), &status.Config{Token: token, Logger: quiet})
	if err != nil {
		f.Fatal(err)
	}

	for _, seed := range []string{
		"", "{}", `{"want":"update"}`, `{"want":"history"}`, `{"want":"find"}`, `{"want":"find","find":{"kind":"key","topic":"users","key":"1"}}`,
		`{"want":1}`, `[[[[`, `{"want":"find","find":{}}`,
	} {
		f.Add(seed)
	}

	f.Fuzz(func(t *testing.T, text string) {
		if reply := status.Answer(h, text); !json.Valid([]byte(reply)) {
			t.Fatalf("%q is replied to with %q", text, reply)
		}
	})
}
