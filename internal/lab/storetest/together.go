package storetest

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Together sends concurrent requests, spread over the pods, that all load the browser's session before any of them stores
// it. All have to succeed.
func Together[P Pod](t *testing.T, pods []P, b *Browser, words ...string) []Answer {
	t.Helper()
	letGo := make([]func() Answer, len(words))
	for i, w := range words {
		letGo[i] = b.Copied().SendSlow(pods[i%len(pods)], "", w)
	}

	answers := make([]Answer, len(words))
	var all sync.WaitGroup
	for i := range letGo {
		all.Go(func() { answers[i] = letGo[i]() })
	}
	all.Wait()
	for i, a := range answers {
		require.Equal(t, http.StatusOK, a.Status, words[i])
	}
	return answers
}
