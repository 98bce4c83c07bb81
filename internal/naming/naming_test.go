package naming_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/naming"
)

func TestCheckTopic(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "users", "é", strings.Repeat("t", naming.MaxTopicLen)} {
		require.NoError(t, naming.CheckTopic(good))
	}
	for topic, want := range map[string]string{
		"": "topic is empty", strings.Repeat("t", naming.MaxTopicLen+1): "has 201 bytes", "a\x00": "contains NUL", "\xff": "not valid UTF-8",
	} {
		require.ErrorContains(t, naming.CheckTopic(topic), want)
	}
}

func TestCheckKey(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"", "1", strings.Repeat("k", naming.MaxKeyLen)} {
		require.NoError(t, naming.CheckKey("users", good))
	}
	for key, want := range map[string]string{
		strings.Repeat("k", naming.MaxKeyLen+1): `topic "users": key`, "a\x00": `contains NUL (topic "users")`, "\xff": "not valid UTF-8",
	} {
		require.ErrorContains(t, naming.CheckKey("users", key), want)
	}
}

func TestChannel(t *testing.T) {
	t.Parallel()
	require.Equal(t, "pgcoherence:app", naming.Channel("app"))
}
