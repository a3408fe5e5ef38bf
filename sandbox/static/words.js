// The page's words in English and Chinese.

const EN = {
  brand: "Messaging Hub",
  helpdesk: "demo helpdesk",
  hub_ready: "Hub ready",
  hub_busy: "Hub not ready",
  hub_gone: "Hub not reachable",
  readme: "Read me",
  api: "API",
  theme: "Light or dark",
  language: "中文",
  language_label: "切换到中文",
  inbox: "Inbox",
  conversation: "Conversation",
  phone: "Phone",
  search: "Search people and messages",
  nothing_found: "Nothing found",
  empty_title: "It is quiet here",
  empty_text: "Write something on the customer’s phone. It travels through the hub and appears here.",
  pick_title: "Pick a conversation",
  pick_text: "Its messages and the reply box appear here.",
  you: "You",
  today: "Today",
  yesterday: "Yesterday",
  write_reply: "Write a reply…",
  send: "Send",
  attach: "Attach a file",
  choices: "Offer choices",
  choices_hint: "Choices to tap, with commas between: good, fair, bad",
  remove: "Remove",
  enter_hint: "Enter sends, Shift + Enter makes a new line",
  resolve: "Resolve",
  reopen: "Reopen",
  state_open: "Open",
  state_pending: "Pending",
  state_resolved: "Resolved",
  channel_wechat: "WeChat",
  channel_email: "Email",
  replies_left: "{n} replies left",
  reply_left: "1 reply left",
  no_reply_left: "No reply left until the customer writes again",
  window_until: "window closes in {time}",
  window_closed: "The reply window is closed. Replies wait until the customer writes again.",
  any_time: "Reply any time",
  hours: "{n} h",
  minutes: "{n} min",
  seconds: "{n} s",
  queued: "Queued",
  sending: "Sending",
  sent: "Sent",
  delivered: "Delivered",
  read: "Read",
  held: "Held",
  unknown: "Outcome unknown",
  failed: "Failed",
  cancelled: "Cancelled",
  unknown_hint: "It may or may not have reached the customer. The hub never sends it twice by itself.",
  held_hint: "It waits for the customer to write again, or for the platform’s review.",
  send_again: "Send again",
  leave_it: "Leave it",
  cancel: "Cancel",
  attachment_pending: "being fetched…",
  attachment_failed: "could not be fetched",
  attachment_expired: "no longer available",
  attachment_refused: "refused",
  phone_title: "A customer’s phone",
  phone_hint: "You are the customer here. Write, and watch the left side.",
  wechat_account: "Lamp House",
  followed: "You follow this account",
  unfollowed: "You no longer follow this account",
  scanned: "You scanned the account’s code",
  tapped_menu: "You tapped the account’s menu",
  opened_page: "You opened a page from the menu",
  opened_app: "You opened the app",
  opened_chat: "You opened the chat",
  recalled: "You recalled a message",
  event_other: "{name}",
  mailbox: "Mailbox",
  mail_empty: "No mail yet. Write one to the shop.",
  compose: "New mail",
  to: "To",
  from: "From",
  subject: "Subject",
  mail_write: "Write your mail…",
  mail_answer: "Answer…",
  mail_count: "{n} mails",
  sent_mail: "Sent",
  back: "Back",
  webhooks: "{n} webhooks",
  all_verified: "all signatures good, order kept",
  refused: "{n} refused",
  repeat: "{n} repeats dropped",
  gap: "{n} gaps",
  disorder: "{n} out of order",
  details: "Details",
  trouble_refused: "Refused webhook",
  trouble_repeat: "Repeat dropped",
  trouble_gap: "Gap in a lane",
  trouble_disorder: "Out of order",
  trouble_hub: "Hub",
  "trouble_account.state": "Account",
  "trouble_delivery.gap": "Parked by the hub",
  nothing_wrong: "Nothing has gone wrong.",
  reconnecting: "Connection lost, trying again…",
  not_sent: "Not sent: {why}",
  kind_image: "[image]",
  write_here: "Message",
  chat_empty: "Say hello to the shop.",
  use_sample: "a sample is sent when no file is picked",
  pick_file: "File",
  do_it: "Do it",
  more: "More",
  faults: "Make the platform misbehave",
  faults_hint: "Faults of {name}, for the person whose phone this is.",
  pending: "Still to happen",
  thrown: "Done: {name}",
  close: "Close",
  file: "File",
  picture: "Picture",
  place: "Place",
};

const ZH = {
  brand: "消息中枢",
  helpdesk: "演示客服台",
  hub_ready: "中枢就绪",
  hub_busy: "中枢未就绪",
  hub_gone: "连不上中枢",
  readme: "说明",
  api: "接口",
  theme: "浅色 / 深色",
  language: "EN",
  language_label: "Switch to English",
  inbox: "会话",
  conversation: "对话",
  phone: "手机",
  search: "搜索客户和消息",
  nothing_found: "没有找到",
  empty_title: "这里还很安静",
  empty_text: "在右边的手机上写点什么，它会经过中枢来到这里。",
  pick_title: "选择一个会话",
  pick_text: "消息和回复框会显示在这里。",
  you: "我",
  today: "今天",
  yesterday: "昨天",
  write_reply: "输入回复…",
  send: "发送",
  attach: "添加文件",
  choices: "附上选项",
  choices_hint: "可点的选项，用逗号分开：满意，一般，不满意",
  remove: "移除",
  enter_hint: "回车发送，Shift + 回车换行",
  resolve: "标为已解决",
  reopen: "重新打开",
  state_open: "进行中",
  state_pending: "等待中",
  state_resolved: "已解决",
  channel_wechat: "微信",
  channel_email: "邮件",
  replies_left: "还可回复 {n} 条",
  reply_left: "还可回复 1 条",
  no_reply_left: "回复条数已用完，等客户再次来信",
  window_until: "{time}后窗口关闭",
  window_closed: "回复窗口已关闭，回复会等到客户再次来信时发出。",
  any_time: "随时可以回复",
  hours: "{n} 小时",
  minutes: "{n} 分钟",
  seconds: "{n} 秒",
  queued: "排队中",
  sending: "发送中",
  sent: "已发出",
  delivered: "已送达",
  read: "已读",
  held: "暂缓",
  unknown: "结果未知",
  failed: "失败",
  cancelled: "已取消",
  unknown_hint: "可能已送达，也可能没有。中枢不会擅自重发。",
  held_hint: "等待客户再次来信，或等待平台审核。",
  send_again: "再发一次",
  leave_it: "不再发送",
  cancel: "取消",
  attachment_pending: "正在获取…",
  attachment_failed: "获取失败",
  attachment_expired: "已过期",
  attachment_refused: "已拒绝",
  phone_title: "客户的手机",
  phone_hint: "在这里您就是客户。写一句，看左边。",
  wechat_account: "灯火小铺",
  followed: "您已关注该公众号",
  unfollowed: "您已取消关注",
  scanned: "您扫描了公众号的二维码",
  tapped_menu: "您点击了菜单",
  opened_page: "您从菜单打开了网页",
  opened_app: "您进入了应用",
  opened_chat: "您进入了会话",
  recalled: "您撤回了一条消息",
  event_other: "{name}",
  mailbox: "收件箱",
  mail_empty: "还没有邮件，给店家写一封吧。",
  compose: "写邮件",
  to: "收件人",
  from: "发件人",
  subject: "主题",
  mail_write: "邮件正文…",
  mail_answer: "回复…",
  mail_count: "{n} 封邮件",
  sent_mail: "已发送",
  back: "返回",
  webhooks: "{n} 个 webhook",
  all_verified: "签名全部有效，顺序完整",
  refused: "拒绝 {n} 个",
  repeat: "去重 {n} 个",
  gap: "缺口 {n} 处",
  disorder: "乱序 {n} 处",
  details: "详情",
  trouble_refused: "拒绝的 webhook",
  trouble_repeat: "重复，已丢弃",
  trouble_gap: "序列有缺口",
  trouble_disorder: "顺序有误",
  trouble_hub: "中枢",
  "trouble_account.state": "账号",
  "trouble_delivery.gap": "被中枢搁置",
  nothing_wrong: "一切正常。",
  reconnecting: "连接中断，正在重试…",
  not_sent: "未发送：{why}",
  kind_image: "[图片]",
  write_here: "发消息",
  chat_empty: "跟店家打个招呼吧。",
  use_sample: "不选文件就发一个示例",
  pick_file: "文件",
  do_it: "执行",
  more: "更多",
  faults: "让平台出故障",
  faults_hint: "{name}的故障开关，对这部手机的主人生效。",
  pending: "尚未发生",
  thrown: "已执行：{name}",
  close: "关闭",
  file: "文件",
  picture: "图片",
  place: "地点",
};

const WORDS = { en: EN, zh: ZH };
const KEPT = "helpdesk.language";

let language = localStorage.getItem(KEPT) ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
document.documentElement.lang = language === "zh" ? "zh-CN" : "en";

/** The words for *key*, with {names} filled in. */
export function t(key, values = {}) {
  const words = WORDS[language][key] ?? EN[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** A label that came with both languages: {en, zh}. */
export function said(words) {
  return words[language] ?? words.en;
}

export function has(key) {
  return key in EN;
}

export function switchLanguage() {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem(KEPT, language);
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
}

const locale = () => (language === "zh" ? "zh-CN" : "en-GB");

/** "14:05" */
export function clockTime(date) {
  return new Intl.DateTimeFormat(locale(), { hour: "2-digit", minute: "2-digit", hour12: false }).format(date);
}

/** "Today", "Yesterday" or "3 March" */
export function dayName(date) {
  const days = Math.round((startOfDay(new Date()) - startOfDay(date)) / 86_400_000);
  if (days === 0) return t("today");
  if (days === 1) return t("yesterday");
  return new Intl.DateTimeFormat(locale(), { day: "numeric", month: "long" }).format(date);
}

/** The time today, else the day. */
export function shortTime(date) {
  return startOfDay(date) === startOfDay(new Date()) ? clockTime(date) : dayName(date);
}

/** "47 h", "12 min" */
export function span(seconds) {
  if (seconds >= 5400) return t("hours", { n: Math.round(seconds / 3600) });
  if (seconds >= 90) return t("minutes", { n: Math.round(seconds / 60) });
  return t("seconds", { n: Math.max(0, Math.round(seconds)) });
}

function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}
