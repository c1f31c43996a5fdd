//! Answers requests: which page, and who may read it. Nothing here changes anything but sessions.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use spared_metrics::Status;

use super::body::Content;
use super::login::{Verdict, judge_password, judge_token};
use super::render::Form;
use super::sessions::{LIFETIME, SessionKey};
use super::{State, events, form, host_name};
use crate::board::{Published, Wanted};
use crate::page::{self, Range};

/// Maximum bytes of a request's path with its query, and of a form.
const TARGET_MAX: usize = 512;
const FORM_MAX: usize = 1024;
/// Maximum time for the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Name of the cookie with a session's secret.
const COOKIE: &str = "spared";

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const EVENTS: &str = "text/event-stream";

/// Headers of every response: nothing is loaded from elsewhere, shown within another page, or kept.
const SECURITY: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action \
         'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];
/// Headers by which a proxy says that it speaks for somebody else.
const PROXIES: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];

/// Other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    pub address: IpAddr,
    /// True for a program of this node.
    pub is_local: bool,
    /// True if the connection is encrypted.
    pub is_secure: bool,
}

/// Reason for which somebody may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Local,
    Token,
    Session(SessionKey),
}

/// Something that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Page,
    Events,
    Status,
    Metrics,
    LogIn,
    LogOut,
    Asset(&'static str, &'static str),
}

type Answer = Response<Content>;

/// Answers a request.
pub async fn answer<B>(state: Arc<State>, visitor: Visitor, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut response = match checked(&state, &request) {
        Ok(resource) => served(state, visitor, request, resource).await,
        Err(refused) => *refused,
    };
    for (name, value) in SECURITY {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Resource that a request names.
fn checked<B>(state: &State, request: &Request<B>) -> Result<Resource, Box<Answer>> {
    let (uri, method) = (request.uri(), request.method());
    let target = uri.path_and_query().map_or(0, |it| it.as_str().len());
    if target > TARGET_MAX {
        return refused(StatusCode::URI_TOO_LONG, "the address is too long");
    }
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|it| it.to_str().ok()).unwrap_or_default();
    if !host_name::is_known(host, &state.names) {
        let why = "this name is not known here: call the page by its address, or add the name to names in web.toml";
        return refused(StatusCode::MISDIRECTED_REQUEST, why);
    }
    let resource = match uri.path() {
        "/" => Resource::Page,
        "/events" => Resource::Events,
        "/status.json" => Resource::Status,
        "/metrics" => Resource::Metrics,
        "/login" => Resource::LogIn,
        "/logout" => Resource::LogOut,
        path => match page::asset(path) {
            Some((kind, content)) => Resource::Asset(kind, content),
            None => return refused(StatusCode::NOT_FOUND, "there is no such page"),
        },
    };
    let allowed: &[Method] = match resource {
        Resource::LogIn => &[Method::GET, Method::HEAD, Method::POST],
        Resource::LogOut => &[Method::POST],
        _ => &[Method::GET, Method::HEAD],
    };
    if !allowed.contains(method) {
        let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let mut refused = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "the page is there to be read",
        );
        set(&mut refused, header::ALLOW, &names.join(", "));
        return Err(Box::new(refused));
    }
    Ok(resource)
}

fn refused(status: StatusCode, line: &str) -> Result<Resource, Box<Answer>> {
    Err(Box::new(text(status, line)))
}

async fn served<B>(
    state: Arc<State>,
    visitor: Visitor,
    request: Request<B>,
    resource: Resource,
) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
{
    match resource {
        Resource::Asset(kind, content) => {
            return whole(StatusCode::OK, kind, Bytes::from_static(content.as_bytes()));
        }
        Resource::LogIn if request.method() == Method::POST => {
            return log_in(state, visitor, request).await;
        }
        Resource::LogIn => return login_page(StatusCode::OK, ""),
        Resource::LogOut => return log_out(&state, request.headers()),
        _ => {}
    }
    let access = match access(&state, visitor, request.headers()) {
        Ok(access) => access,
        Err(refusal) => return refusal.answer(&state, resource),
    };
    let range = Range::from_query(request.uri().query().unwrap_or_default());
    match resource {
        // the script asks why it gets no stream
        Resource::Events if request.method() == Method::HEAD => whole(StatusCode::OK, EVENTS, ""),
        Resource::Events => stream(state, visitor, access, range),
        Resource::Status => {
            let published = state.board.get(Wanted::Page).await;
            of(&published, JSON, |texts| texts.status.clone().into())
        }
        Resource::Metrics => {
            let published = state.board.get(Wanted::Metrics).await;
            of(&published, METRICS, |texts| metrics(&texts.status))
        }
        _ => {
            let published = state.board.get(Wanted::Page).await;
            let form = Form::Document(matches!(access, Access::Session(_)));
            let status = match published.texts {
                Ok(_) => StatusCode::OK,
                Err(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            whole(status, HTML, state.renderer.page(&published, range, form))
        }
    }
}

fn of(
    published: &Published,
    kind: &str,
    content: impl Fn(&crate::board::Texts) -> Bytes,
) -> Answer {
    match &published.texts {
        Ok(texts) => whole(StatusCode::OK, kind, content(texts)),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

// A status that is none is one of a daemon that does not answer, as for `sparectl metrics`.
fn metrics(json: &str) -> Bytes {
    spared_metrics::encode(Status::read(json).ok(), false).into()
}

fn stream(state: Arc<State>, visitor: Visitor, access: Access, range: Range) -> Answer {
    let Some(permit) = state.streams.take(visitor.address) else {
        let mut refused = text(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many pages are open: close some",
        );
        set(&mut refused, header::RETRY_AFTER, "60");
        return refused;
    };
    let session = match access {
        Access::Session(key) => Some(key),
        Access::Local | Access::Token => None,
    };
    let mut answer = Response::new(Content::Stream {
        events: events::begin(state, range, session),
        rest: Bytes::new(),
        _permit: permit,
    });
    set(&mut answer, header::CONTENT_TYPE, EVENTS);
    // a proxy must not gather events
    set(
        &mut answer,
        HeaderName::from_static("x-accel-buffering"),
        "no",
    );
    answer
}

// ---- who may read

/// Reason for which somebody may not read.
enum Refusal {
    NotLoggedIn,
    Wait(Duration),
}

impl Refusal {
    fn answer(self, state: &State, resource: Resource) -> Answer {
        match self {
            Self::Wait(time) => wait(time, text(StatusCode::TOO_MANY_REQUESTS, TOO_OFTEN)),
            Self::NotLoggedIn if !state.settings.login.is_possible() => {
                let why =
                    "a proxy passed this on: run `sparectl web password`, so that one can log in";
                text(StatusCode::FORBIDDEN, why)
            }
            Self::NotLoggedIn if resource == Resource::Page => see_other("/login"),
            Self::NotLoggedIn => {
                let mut refused = text(
                    StatusCode::UNAUTHORIZED,
                    "log in, or send the token of web.toml: Authorization: Bearer TOKEN",
                );
                set(&mut refused, header::WWW_AUTHENTICATE, "Bearer");
                refused
            }
        }
    }
}

const TOO_OFTEN: &str = "too many attempts failed: wait";

fn access(state: &Arc<State>, visitor: Visitor, headers: &HeaderMap) -> Result<Access, Refusal> {
    if let Some(token) = bearer(headers) {
        return match judge_token(state, visitor.address, token) {
            Verdict::Right => Ok(Access::Token),
            Verdict::Wrong => Err(Refusal::NotLoggedIn),
            Verdict::Wait(time) => Err(Refusal::Wait(time)),
        };
    }
    if let Some(key) = session(headers).filter(|key| state.is_session(*key)) {
        return Ok(Access::Session(key));
    }
    let is_passed_on = PROXIES.iter().any(|it| headers.contains_key(*it));
    if visitor.is_local && !is_passed_on {
        return Ok(Access::Local);
    }
    Err(Refusal::NotLoggedIn)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("Bearer")
        .then_some(token.trim())
}

fn session(headers: &HeaderMap) -> Option<SessionKey> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let texts = cookies.filter_map(|it| it.to_str().ok());
    let mut pairs = texts.flat_map(|it| it.split(';'));
    let secret = pairs.find_map(|it| it.trim().strip_prefix(COOKIE)?.strip_prefix('='))?;
    Some(SessionKey::of(secret))
}

async fn log_in<B>(state: Arc<State>, visitor: Visitor, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = match tokio::time::timeout(BODY_TIMEOUT, read(request.into_body())).await {
        Ok(Ok(body)) => body,
        Ok(Err(refused)) => return refused,
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the form did not come"),
    };
    let Some(secret) = form::field(&body, "password") else {
        return text(StatusCode::BAD_REQUEST, "the form has no password");
    };
    match judge_password(&state, visitor.address, secret).await {
        Verdict::Right => {}
        Verdict::Wrong => return login_page(StatusCode::FORBIDDEN, "The password is wrong."),
        Verdict::Wait(time) => {
            let seconds = seconds(time);
            let why = format!("Too many attempts failed: try again in {seconds} s.");
            return wait(time, login_page(StatusCode::TOO_MANY_REQUESTS, &why));
        }
    }
    let Some(secret) = state.sessions().begin(Instant::now()) else {
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the kernel gives no randomness",
        );
    };
    let secure = if visitor.is_secure { "; Secure" } else { "" };
    let cookie = format!(
        "{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
        LIFETIME.as_secs()
    );
    let mut answer = see_other("/");
    set(&mut answer, header::SET_COOKIE, &cookie);
    answer
}

fn log_out(state: &State, headers: &HeaderMap) -> Answer {
    if let Some(key) = session(headers) {
        state.sessions().end(key);
    }
    let mut answer = see_other("/login");
    let over = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    set(&mut answer, header::SET_COOKIE, &over);
    answer
}

/// Reads a form.
async fn read<B>(mut body: B) -> Result<Vec<u8>, Answer>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut form = Vec::new();
    loop {
        let next =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context));
        match next.await {
            None => return Ok(form),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                if form.len() + data.len() > FORM_MAX {
                    return Err(text(StatusCode::PAYLOAD_TOO_LARGE, "the form is too long"));
                }
                form.extend(data);
            }
            Some(Err(_)) => return Err(text(StatusCode::BAD_REQUEST, "the form is incomplete")),
        }
    }
}

// ---- responses

fn whole(status: StatusCode, kind: &str, content: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Content::of(content));
    *answer.status_mut() = status;
    set(&mut answer, header::CONTENT_TYPE, kind);
    answer
}

fn text(status: StatusCode, line: &str) -> Answer {
    whole(status, TEXT, format!("{line}\n"))
}

fn login_page(status: StatusCode, error: &str) -> Answer {
    whole(status, HTML, page::login(error))
}

fn see_other(place: &str) -> Answer {
    let mut answer = Response::new(Content::empty());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    set(&mut answer, header::LOCATION, place);
    answer
}

fn wait(time: Duration, mut answer: Answer) -> Answer {
    set(&mut answer, header::RETRY_AFTER, &seconds(time).to_string());
    answer
}

fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    // values are the plugin's own
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}
