package kubernetes_test

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReproducible runs the Dockerfile's own build twice, from this tree and from a copy of it elsewhere: the binaries are
// equal to the byte. What the base images add is pinned by their digests, to be chosen where the image is built.
func TestReproducible(t *testing.T) {
	if os.Getenv("PGCOHERENCE_IMAGE") == "" {
		t.Skip("*** NOT TESTED: that the image's binary is reproducible; two builds of everything from nothing: make test-image")
	}

	text, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	env := regexp.MustCompile(`(?m)^ENV (.*)$`).FindStringSubmatch(string(text))
	command := regexp.MustCompile(`(?m)^ +go (build -C examples/notes .*) -o /notes \.$`).FindStringSubmatch(string(text))
	require.NotNil(t, env, "the Dockerfile sets the environment of its build")
	require.NotNil(t, command, "the Dockerfile builds examples/notes")

	// A copy has no history, and other times and paths.
	tree, err := filepath.Abs("../..")
	require.NoError(t, err)
	elsewhere := t.TempDir()
	list := exec.CommandContext(t.Context(), "git", "-c", "safe.directory=*", "-C", tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	files, err := list.Output()
	require.NoError(t, err)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(files), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(tree, name))
		if err != nil {
			continue // deleted, and not yet committed; the build would miss what it needs
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(elsewhere, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(elsewhere, name), content, 0o600))
	}

	var binaries [][]byte
	for _, root := range []string{tree, elsewhere} {
		out := filepath.Join(t.TempDir(), "notes")
		args := append(splitArguments(command[1]), "-o", out, ".")
		c := exec.CommandContext(t.Context(), "go", args...)
		c.Dir = root
		c.Env = append(os.Environ(), strings.Fields(env[1])...)
		said, err := c.CombinedOutput()
		require.NoError(t, err, "%s", said)

		binary, err := os.ReadFile(out)
		require.NoError(t, err)
		require.NotContains(t, string(binary), root, "a path of the machine")
		info, err := buildinfo.ReadFile(out)
		require.NoError(t, err)
		for _, s := range info.Settings {
			require.NotContains(t, s.Key, "vcs", "nothing of the checkout")
		}
		binaries = append(binaries, binary)
	}
	require.True(t, string(binaries[0]) == string(binaries[1]), "the same sources give the same binary") //nolint:testifylint // 30 MB
}

// splitArguments splits a line of the shell that has no quotes but double ones around a whole value.
func splitArguments(line string) (args []string) {
	for _, match := range regexp.MustCompile(`([^\s"=]+=)?"([^"]*)"|\S+`).FindAllStringSubmatch(line, -1) {
		arg := match[0]
		if match[2] != "" {
			arg = match[1] + match[2]
		}
		args = append(args, arg)
	}
	return args
}
