package main_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The daemon serves its metrics, and those of its process, on the admin port, where they need the
// token.
func TestMetrics(t *testing.T) {
	dir, token := t.TempDir(), "0123456789abcdef0123456789abcdef"
	if err := os.WriteFile(filepath.Join(dir, "admin.token"), []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "-config", write(t, dir, lone+"admin: {listen: \"127.0.0.1:0\", token: admin.token}\n"))
	_, admin, _ := strings.Cut(p.line(), "admin=")
	get := func(authorization string) (int, string) {
		request, err := http.NewRequest(http.MethodGet, "http://"+admin+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", authorization)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	if status, text := get("Bearer wrong"); status != http.StatusUnauthorized || strings.Contains(text, "holdfast_") {
		t.Errorf("without the token: %d, %s", status, text)
	}
	status, text := get("Bearer " + token)
	for _, want := range []string{"\nholdfast_build_info{", "\nholdfast_journal_bytes ", "\ngo_goroutines "} {
		if status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("status %d, and no %q in:\n%s", status, want, text)
		}
	}
}
