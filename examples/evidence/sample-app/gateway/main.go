// The gateway of the sample application: small, but it really calls its old dependencies.
package main

import (
	"fmt"
	"net/http"
	"os"

	"github.com/dgrijalva/jwt-go"
	"golang.org/x/text/language"
	"gopkg.in/yaml.v2"
)

func main() {
	routes := map[string]string{}
	source, err := os.ReadFile("routes.yaml")
	if err != nil || yaml.Unmarshal(source, &routes) != nil {
		fmt.Fprintln(os.Stderr, "routes.yaml cannot be read")
		os.Exit(1)
	}
	http.HandleFunc("/", func(response http.ResponseWriter, request *http.Request) {
		tags, _, _ := language.ParseAcceptLanguage(request.Header.Get("Accept-Language"))
		token := jwt.New(jwt.SigningMethodHS256)
		fmt.Fprintln(response, routes[request.URL.Path], tags, token.Header["alg"])
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:8080", nil))
}
