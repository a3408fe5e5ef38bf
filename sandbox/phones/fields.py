"""Things to fill in that several apps ask for."""

from sandbox.phones.spec import Field, Words

LATITUDE = Field("latitude", Words("Latitude", "纬度"), "31.23039", "number")
LONGITUDE = Field("longitude", Words("Longitude", "经度"), "121.473701", "number")
LABEL = Field("label", Words("Name", "名称"), "上海市人民广场")
TITLE = Field("title", Words("Title", "标题"), "一盏小台灯")
URL = Field("url", Words("Address", "网址"), "https://shop.example/lamps/7")
