package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
)

// variable marks a copy of the test as a child. It contains the child's configuration in JSON.
const variable = "PGCOHERENCE_EXAMPLE_DEMO_TEST"

func TestMain(m *testing.M) {
	if config := os.Getenv(variable); config != "" {
		os.Exit(childMain(config))
	}
	goleak.VerifyTestMain(m)
}

func childMain(config string) int {
	var address string
	if err := json.Unmarshal([]byte(config), &address); err != nil || address == "" {
		fmt.Fprintln(os.Stderr, "nowhere to listen")
		return 1
	}
	ctx, cancel := demo.Leash()
	defer cancel()
	fmt.Println(address)
	<-ctx.Done()
	fmt.Fprintln(os.Stderr, "in order")
	return 0
}

func TestProcess(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p, err := demo.StartListening(t.Context(), demo.Child{Name: "one", Variable: variable, Config: "there:1", Log: demo.Locked(&log)})
	require.NoError(t, err)
	require.Equal(t, "there:1", p.Addr)
	require.True(t, p.Alive())

	if demo.CanFreeze {
		require.NoError(t, p.Freeze())
	}

	p.Stop()
	require.False(t, p.Alive())
	require.Equal(t, "in order\n", log.String(), "frozen or not")
	require.Empty(t, p.Failure())
	p.Stop() // again
}

func TestProcessKilled(t *testing.T) {
	t.Parallel()
	p, err := demo.StartListening(t.Context(), demo.Child{Name: "one", Variable: variable, Config: "there:1", Log: io.Discard})
	require.NoError(t, err)
	p.Kill()
	require.False(t, p.Alive())
	require.Empty(t, p.Failure(), "it did not end by itself")
}

func TestProcessFails(t *testing.T) {
	t.Parallel()
	silent := demo.Child{Name: "mute", Variable: variable, Config: "", Log: io.Discard}
	_, err := demo.StartListening(t.Context(), silent)
	require.EqualError(t, err, "mute ended before it listened: nowhere to listen")
	p, err := demo.Start(silent)
	require.NoError(t, err)
	<-p.Exited()
	require.Equal(t, "nowhere to listen", p.Failure())
}

func TestPlay(t *testing.T) {
	t.Parallel()
	verdict := errors.New("steps failed")
	for _, tc := range []struct {
		err  error
		code int
		says string
	}{
		{nil, 0, ""},
		{fmt.Errorf("in all: %w", verdict), 1, "story: in all: steps failed\n"},
		{errors.New("no server"), 1, "story: no server\n"},
	} {
		var stderr bytes.Buffer
		require.Equal(t, tc.code, demo.Play("story", &stderr, verdict, func(context.Context) error { return tc.err }))
		require.Equal(t, tc.says, stderr.String())
	}
}
