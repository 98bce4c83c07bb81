package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMayRetry(t *testing.T) {
	t.Parallel()
	dial := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	read := &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
	for _, tc := range []struct {
		method string
		err    error
		want   bool
	}{
		{http.MethodGet, read, true},
		{http.MethodHead, read, true},
		{http.MethodPost, read, false}, // it may have been done
		{http.MethodPost, dial, true},  // it was never sent
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, "http://pods/", http.NoBody)
		require.NoError(t, err)
		require.Equal(t, tc.want, mayRetry(req, tc.err), "%s, %v", tc.method, tc.err)
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ended, http.MethodGet, "http://pods/", http.NoBody)
	require.NoError(t, err)
	require.False(t, mayRetry(req, read), "the client has gone away")
}
