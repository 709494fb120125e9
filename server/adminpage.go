package server

import (
	"embed"
	"net/http"
	"path"
)

// pagePrefix begins the paths of the files of the admin page, except the page itself, which is /.
const pagePrefix = "/page/"

//go:embed page
var pageFS embed.FS

// pageFiles are the files of the admin page by their path on the port. They are all that a browser
// needs: nothing comes from elsewhere.
var pageFiles = readPage()

func readPage() map[string][]byte {
	entries, err := pageFS.ReadDir("page")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	files := make(map[string][]byte)
	for _, e := range entries {
		content, err := pageFS.ReadFile(path.Join("page", e.Name()))
		if err != nil {
			panic("BUG: " + err.Error())
		}
		files[pagePrefix+e.Name()] = content
	}
	files["/"] = files[pagePrefix+"index.html"]
	return files
}

// pageTypes are the types of the files. Those of package mime depend on the machine.
var pageTypes = map[string]string{
	"": "text/html", ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain",
}

// answerPage sends a file of the admin page.
func answerPage(w http.ResponseWriter, r *http.Request) {
	content, found := pageFiles[r.URL.Path]
	if !found {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", pageTypes[path.Ext(r.URL.Path)]+"; charset=utf-8")
	_, _ = w.Write(content) // an error of the connection is the client's
}

// pagePolicy allows the page its own files and requests to its own instance: no inline script, no
// frame around it, no form, and no text that becomes HTML or script.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// guardHeaders adds headers to all responses of the admin port, which tell a browser to trust them
// as little as possible.
func guardHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy":      pagePolicy,
			"X-Content-Type-Options":       "nosniff",
			"X-Frame-Options":              "DENY",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cache-Control":                "no-store",
		} {
			w.Header().Set(name, value)
		}
		next.ServeHTTP(w, r)
	})
}
